"""What the routes of logins take and give."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

# However long: a credential that is none gets the answer of every bad one.
Credential = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class SessionRequest(_Strict):
    """One of the two; without either, the api_token is taken from the header `Api-Token`."""

    api_token: Credential | None = None
    """Made by the issuer, version 1 (RSA) or 2 (signed)."""
    ticket: Credential | None = None
    """A `tk_…` secret, good once."""
    cookie: bool = False
    """Give the session as an HttpOnly cookie instead of in the answer; needs `[h5] cookie = true`."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.api_token and self.ticket:
            raise ValueError("send api_token or ticket, not both")
        return self


class UserOut(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    client_id: str
    user_id: str
    username: str
    """For display only."""
    role: str
    """reader, manager or admin."""


class UserInfo(BaseModel):
    """The caller; an api key is a user named `key:ID`."""

    client_id: str
    user_id: str
    username: str
    enable: bool
    create_time: datetime


class SessionOut(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    session_token: str | None
    """`st_…`, for `Authorization: Bearer` or `Api-Token`; null when it was given as a cookie."""
    expires_in: int
    """Seconds until it ends at the latest."""
    idle_timeout: int
    """Seconds without a call after which it ends."""
    user: UserOut


class TicketRequest(_Strict):
    """A token in `api_token` (or in the header), or, with an api key of scope `vouch`, the user in `user_id`."""

    api_token: Credential | None = None
    user_id: Annotated[str, Field(max_length=64)] | None = None
    username: Annotated[str, Field(max_length=200)] = ""


class TicketOut(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    ticket: str
    """`tk_…`, good for one session: put it into the page's address as `#tk=…`."""
    expires_in: int
    """Seconds."""


class LoginOut(BaseModel):
    """One of the caller's own sessions."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    session_id: str
    """Names it; opens nothing."""
    origin: str
    """How the person came in: token, ticket, demo or wecom."""
    is_current: bool
    create_time: datetime
    last_use_time: datetime
    expire_time: datetime
