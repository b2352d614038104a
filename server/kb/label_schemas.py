"""Shapes of what people say of documents (tags, properties, who may see them), and of asking for it."""

import math
import unicodedata
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from server.auth.api_token import has_invisible
from server.core import strict_json
from server.kb.filters import Filters, Range, Value, is_date

MAX_WORD, MAX_TEXT, MAX_USER_ID = 64, 500, 64
# No program loses a digit of a whole number below.
_MAX_INT = 2**53


def _word(value: str) -> str:
    """In one spelling, and visible."""
    word = unicodedata.normalize("NFC", value.strip())
    if not 1 <= len(word) <= MAX_WORD or has_invisible(word):
        raise ValueError(f"must be 1 to {MAX_WORD} visible characters")
    return word


def _user_id(value: str) -> str:
    if not 1 <= len(value.encode()) <= MAX_USER_ID or value != value.strip() or has_invisible(value):
        raise ValueError(f"must be a user id: 1 to {MAX_USER_ID} bytes, all visible, no space at either end")
    return value


def _text(value: str) -> str:
    if len(value) > MAX_TEXT or "\0" in value:
        raise ValueError(f"must be at most {MAX_TEXT} characters without NUL")
    return value


def _number(value: float) -> float:
    # Whole numbers first: a very large one is no float.
    if (isinstance(value, int) and abs(value) > _MAX_INT) or not math.isfinite(value):
        raise ValueError("must be a number that every program can keep")
    return value


Word = Annotated[StrictStr, AfterValidator(_word)]
Number = Annotated[StrictInt | StrictFloat, AfterValidator(_number)]
Scalar = StrictBool | Number | Annotated[StrictStr, AfterValidator(_text)]
Tags = Annotated[list[Word], Field(max_length=50), AfterValidator(lambda tags: list(dict.fromkeys(tags)))]
Properties = Annotated[dict[Word, Scalar], Field(max_length=50)]
UserIds = Annotated[
    list[Annotated[StrictStr, AfterValidator(_user_id)]],
    Field(max_length=1000),
    AfterValidator(lambda ids: sorted(set(ids))),
]


class LabelFields(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    tags: Tags = Field(default_factory=list)
    properties: Properties = Field(default_factory=dict)
    """By name: text, a number, true or false, or a date as `YYYY-MM-DD`."""
    visible_to: UserIds | None = None
    """Ids of the users of the knowledge base's client who may see it, beside those with `kb:write`; none of them: `[]`; null:
    everybody who reads the knowledge base."""

    @property
    def labels(self) -> dict[str, Any]:
        """What is said, and nothing else."""
        return self.model_dump(include={"tags", "properties", "visible_to"}, exclude_unset=True)


class UpdateDocument(LabelFields):
    knowledge_base_name: StrictStr
    file_name: StrictStr

    @model_validator(mode="after")
    def _says_something(self) -> "UpdateDocument":
        if not self.labels:
            raise ValueError("give tags, properties or visible_to")
        return self


def read_labels(fields: dict[str, str]) -> dict[str, Any]:
    """What fields of a form say: JSON, or for lists words between commas; blank says nothing. Raises ValueError."""
    given = {name: _read(name, text) for name, text in fields.items() if text.strip()}
    try:
        return LabelFields.model_validate(given).labels
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _read(name: str, text: str) -> Any:
    text = text.strip()
    if name == "properties" or text == "null" or text.startswith("["):
        return strict_json.loads(text.encode("utf-8", "surrogatepass"))
    return [word.strip() for word in text.replace("，", ",").split(",") if word.strip()]


def _day(value: str) -> str:
    if not is_date(value):
        raise ValueError("must be a number, or a date as YYYY-MM-DD")
    return value


End = Number | Annotated[StrictStr, AfterValidator(_day)]


class RangeIn(BaseModel):
    """Of numbers or of dates, both ends included."""

    model_config = ConfigDict(extra="forbid")

    min: End | None = None
    max: End | None = None

    @model_validator(mode="after")
    def _has_ends(self) -> "RangeIn":
        ends = [end for end in (self.min, self.max) if end is not None]
        if not ends or len({isinstance(end, str) for end in ends}) > 1:
            raise ValueError("give min, max or both, two numbers or two dates")
        return self


def _moment(value: datetime) -> datetime:
    try:
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be a time of the years 1 to 9999") from error


Moment = Annotated[datetime, AfterValidator(_moment)]
Names = Annotated[list[Annotated[StrictStr, Field(max_length=255)]], Field(max_length=1000)]
Ending = Annotated[StrictStr, Field(pattern=r"^\.?[A-Za-z0-9]{1,15}$")]


class FiltersIn(BaseModel):
    """Only passages of files that are like this; what is left out asks nothing. Files of a conversation are searched whatever it
    says."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    files: Names = Field(default_factory=list)
    """One of these names."""
    types: Annotated[list[Ending], Field(max_length=50)] = Field(default_factory=list)
    """One of these endings: pdf, docx …"""
    since: Moment | None = None
    """Uploaded at this time or later; UTC where no zone is said, and the beginning of a day where no time is."""
    until: Moment | None = None
    """Uploaded before."""
    tags: Tags = Field(default_factory=list)
    """One of these."""
    properties: Annotated[dict[Word, Scalar | RangeIn], Field(max_length=50)] = Field(default_factory=dict)
    """All of these: a value that is the same, or `{"min": …, "max": …}`."""

    @property
    def wanted(self) -> Filters:
        return Filters(
            frozenset(self.files),
            frozenset(PurePosixPath(f"a.{kind.lstrip('.')}").suffix.lower() for kind in self.types),
            self.since,
            self.until,
            frozenset(self.tags),
            tuple((name, _wanted(value)) for name, value in self.properties.items()),
        )


def _wanted(value: Value | RangeIn) -> Value | Range:
    return Range(value.min, value.max) if isinstance(value, RangeIn) else value
