"""What a package says of the reading of a document and of people's changes to it, as the product itself would have written it."""

from typing import Annotated, Any

from pydantic import BaseModel, Field, StrictInt, StrictStr

_Count = Annotated[StrictInt, Field(ge=0, lt=2**31)]
_Pages = Annotated[
    list[Annotated[StrictInt, Field(ge=1, lt=2**31)]], Field(default_factory=list, max_length=100_000)
]


class _Findings(BaseModel):
    """loaders.base.Findings; what is not known is passed over."""

    pages: _Count = 0
    ocr_pages: _Pages
    unread_pages: _Pages
    blank_pages: _Pages
    damaged_pages: _Pages
    hidden_chars: _Count = 0
    hidden_parts: _Count = 0
    invisible_chars: _Count = 0
    replaced_chars: _Count = 0
    formulas: _Count = 0
    pictures: _Count = 0
    attachments: _Count = 0


class _Edits(BaseModel):
    """edits.Outcome as documents keep it."""

    kept: _Count = 0
    lost: _Count = 0
    lost_texts: Annotated[
        list[Annotated[StrictStr, Field(max_length=1000)]], Field(default_factory=list, max_length=100)
    ]
    removed: Annotated[
        list[Annotated[StrictStr, Field(pattern=r"^[0-9a-f]{64}$")]], Field(default_factory=list)
    ]


def check_notes(columns: dict[str, Any]) -> dict[str, Any]:
    """The columns of a document with these two as they must be. Raises ValueError."""
    findings, edits = columns["findings"], columns["edits"]
    if findings is not None:
        found = _Findings.model_validate(findings).model_dump()
        findings = {name: value for name, value in found.items() if value}
    if edits is not None:
        edits = _Edits.model_validate(edits).model_dump()
    return columns | {"findings": findings, "edits": edits}
