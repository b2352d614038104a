"""Kinds of values that settings have: durations, sizes, paths, secrets and addresses, each checked on its own."""

import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, SecretStr

ROOT = Path(__file__).resolve().parents[2]

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)")
# A moment so far away still has a date.
_LONGEST = timedelta(days=36500)
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# Words people leave in a file when they mean "fill me in". Long enough random keys never match.
_PLACEHOLDER = re.compile(
    r"^(x{3,}|change.?me.*|change.?this.*|your[-_ ].*|<.*>|\$\{.*\}|sk-x{2,}|todo|placeholder|secret|password|chat2llm)$",
    re.I,
)


def parse_duration(value: object) -> object:
    """A number and a unit, as the file has it."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value.strip())):
        try:
            duration = timedelta(**{_UNITS[match[2]]: float(match[1])})
        except OverflowError:
            duration = timedelta.max
        if duration > _LONGEST:
            raise ValueError(f"must be at most {_LONGEST.days}d")
        return duration
    if isinstance(value, str):
        raise ValueError("write a number and a unit: 500ms, 30s, 10m, 8h or 7d")
    return value


def _check_size(value: ByteSize) -> ByteSize:
    if value < 1024:
        raise ValueError("must be at least 1KiB")
    return value


def parse_path(value: object) -> object:
    """Relative paths count from the project's root, wherever the command is run."""
    return ROOT / value if isinstance(value, str | Path) and str(value) else value


Duration = Annotated[timedelta, BeforeValidator(parse_duration), Field(gt=timedelta(0))]
# Of a body: below this nothing useful comes in.
Size = Annotated[ByteSize, AfterValidator(_check_size)]
RootedPath = Annotated[Path, BeforeValidator(parse_path)]


class Section(BaseModel):
    """A section of the ini file: unknown keys are refused, values are bounded, nothing changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def check_secret(value: SecretStr | None) -> SecretStr | None:
    """Refuse a placeholder; an empty value counts as not set."""
    if value is None or not value.get_secret_value().strip():
        return None
    if _PLACEHOLDER.match(value.get_secret_value().strip()):
        raise ValueError(
            "looks like a placeholder (xxx, your-key, sk-xxx): put the real secret there, best through the environment; "
            "for a server that wants none write none, or leave it empty where base_url is a private address"
        )
    return value


def check_url(value: str, *, secret: bool) -> str:
    """An address to call, `secret` when a key travels there: in the clear within this machine only."""
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username:
        raise ValueError("write https://HOST/PATH, without a query")
    if secret and url.scheme == "http" and url.hostname not in ("127.0.0.1", "localhost"):
        raise ValueError("must begin with https://, since a key travels there")
    return value


def is_near(url: str) -> bool:
    """Does this address lie on this machine or in a private network, where model servers rarely ask for a key?"""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_private
    except ValueError:
        return False
