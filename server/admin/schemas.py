"""Shapes of requests and answers of `/admin`. Unknown fields are refused: these paths have no past."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from server.auth.policy import Policy
from server.auth.principal import Role

Origins = Annotated[list[str], Field(max_length=50)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ClientIn(Strict):
    client_id: str
    description: str = ""
    policy: Policy = Policy.COMPAT
    """What its tokens are good for: `exchange` or `strict` for a session, `compat` for every call."""


class ClientPatch(Strict):
    enabled: bool | None = None
    """False refuses the client and all its users, and ends their sessions."""
    policy: Policy | None = None
    frame_ancestors: Origins | None = None
    """Sites that may show the page in a frame, beside this server's own pages: `https://HOST[:PORT]`, or `http://` within an
    intranet; no wildcards."""
    max_blocks: Annotated[int, Field(ge=1, le=4)] | None = None
    """RSA blocks that a version 1 token may have; 1 unless an old issuer cannot do without."""
    pct_fields: bool | None = None
    """User id and username in version 1 tokens are percent-encoded."""
    networks: Annotated[list[str], Field(max_length=50)] | None = None
    """Where its tokens are taken from: `10.0.0.0/8`, `192.168.1.5`; an empty list is anywhere."""

    @property
    def options(self) -> dict[str, Any]:
        """What of `management.set_options` is to be changed."""
        return self.model_dump(include={"max_blocks", "pct_fields", "networks"}, exclude_none=True)


class ClientOut(BaseModel):
    client_id: str
    description: str
    enabled: bool
    policy: str
    frame_ancestors: list[str]
    max_blocks: int
    pct_fields: bool
    networks: list[str]
    create_time: datetime


class KeyOut(BaseModel):
    """A client's key, without its text."""

    kid: str
    kind: str
    state: str
    create_time: datetime
    retire_time: datetime | None


class PublicKeyOut(KeyOut):
    """`public_key` makes tokens for any user of the client: it belongs on the issuer's server."""

    public_key: str


class RotateIn(Strict):
    overlap_days: Annotated[float, Field(ge=0, le=365)] | None = None
    """How long the old key stays good; without it, `[auth] key_overlap`. 0 ends it now."""
    force: bool = False
    """End a key that is still good from the rotation before; without it that is refused."""


class SigningKeyIn(Strict):
    public_key: Annotated[str, Field(max_length=8192)]
    """PEM: Ed25519, P-256, or RSA of 2048 bits or more."""
    kid: str | None = None
    """The name that tokens carry; none draws the next one."""


class UserPatch(Strict):
    enabled: bool | None = None
    role: Role | None = None


class ManagedUserOut(BaseModel):
    user_id: str
    username: str
    role: str
    enabled: bool
    create_time: datetime


class ManagedSessionOut(BaseModel):
    session_id: str
    user_id: str
    origin: str
    create_time: datetime
    last_use_time: datetime
    expire_time: datetime


class APIKeyIn(Strict):
    scopes: Annotated[list[str], Field(min_length=1, max_length=10)] = ["chat", "kb:read"]


class APIKeyOut(BaseModel):
    key_id: str
    last4: str
    scopes: list[str]
    enabled: bool
    create_time: datetime


class SecretOut(BaseModel):
    """Shown this once."""

    secret: str


class CountOut(BaseModel):
    count: int


class TokenIn(Strict):
    token: Annotated[str, Field(max_length=10_000)]


class StepOut(BaseModel):
    """One thing that a token must pass. The first that it does not is the last."""

    step: str
    passed: bool
    found: str


class AuditOut(BaseModel):
    time: datetime
    actor: str
    action: str
    client_id: str | None
    target: str
    detail: dict[str, Any]
