"""Tables: who may call, how often, and what was changed about them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from server.db.base import MARIADB, Base, Id, LongText, UTCDateTime


class KeyKind(StrEnum):
    """What a client's key is for. Each kind opens its own form of token and nothing else."""

    RSA = "rsa"  # ours; the issuer encrypts with OAEP
    RSA_V15 = "rsa-v15"  # ours; the issuer encrypts with PKCS#1 v1.5
    SIGNING = "v2"  # the issuer's own public key; it signs


class KeyState(StrEnum):
    ACTIVE = "active"
    RETIRING = "retiring"  # still good, until `retire_at`
    DISABLED = "disabled"


class Client(Base):
    """A system that vouches for its own users: a mini-app, a portal, a back end."""

    __tablename__ = "client"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    description: Mapped[str] = mapped_column(String(100), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    # What its tokens are good for: policy.Policy.
    policy: Mapped[str] = mapped_column(String(16), default="exchange")
    # The RSA padding that opened this client's last token; tried first.
    padding: Mapped[str | None] = mapped_column(String(16), default=None)
    # Origins whose pages may show ours in a frame, separated by spaces.
    frame_ancestors: Mapped[str] = mapped_column(String(1000), default="")
    # What its version 1 tokens may differ in: api_token.Form.
    max_blocks: Mapped[int] = mapped_column(default=1)
    pct_fields: Mapped[bool] = mapped_column(default=False)
    # Where its tokens are taken from, separated by spaces; empty is anywhere.
    networks: Mapped[str] = mapped_column(String(1000), default="")
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class ClientKey(Base):
    """A key of a client. Of an RSA pair the public half goes to the issuer, the private half never leaves, sealed."""

    __tablename__ = "client_key"
    __table_args__ = (UniqueConstraint("client_id", "kid"), MARIADB)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), index=True)
    # Its name within the client, which a token may carry.
    kid: Mapped[str] = mapped_column(String(32))
    kind: Mapped[str] = mapped_column(String(16), default=KeyKind.RSA)
    state: Mapped[str] = mapped_column(String(16), default=KeyState.ACTIVE)
    public_pem: Mapped[str] = mapped_column(LongText)
    sealed_private: Mapped[bytes | None] = mapped_column(LargeBinary(8192), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    retire_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)

    @property
    def seal_context(self) -> str:
        """What its private half is sealed for: nowhere else does it open."""
        return f"{self.client_id}|{self.id}"


class User(Base):
    """A person, known by the client's word only. Made at first sight."""

    __tablename__ = "user"
    __table_args__ = (Index(None, "client_id", "created_at"), MARIADB)

    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    username: Mapped[str] = mapped_column(String(64), default="")
    role: Mapped[str] = mapped_column(String(16), default="reader")  # reader | manager | admin
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    # When a visitor of the demo was last seen, to the minute; of others it is not kept.
    seen_at: Mapped[datetime | None] = mapped_column(UTCDateTime, default=None)


class AuthSession(Base):
    """A login: an opaque `st_…` secret, stored as its SHA-256."""

    __tablename__ = "auth_session"
    __table_args__ = (
        ForeignKeyConstraint(["client_id", "user_id"], ["user.client_id", "user.id"], ondelete="CASCADE"),
        UniqueConstraint("id"),
        MARIADB,
    )

    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    # What it is called when its owner lists and ends it; opens nothing.
    id: Mapped[str] = mapped_column(Id)
    client_id: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[str] = mapped_column(String(64))
    # How the person came in: token | ticket | demo | wecom.
    origin: Mapped[str] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class Ticket(Base):
    """A `tk_…` secret that becomes one session, once, within a minute. Stored as its SHA-256."""

    __tablename__ = "ticket"
    __table_args__ = (
        ForeignKeyConstraint(["client_id", "user_id"], ["user.client_id", "user.id"], ondelete="CASCADE"),
        MARIADB,
    )

    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[str] = mapped_column(String(64))
    origin: Mapped[str] = mapped_column(String(16))
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class TokenUse(Base):
    """How often a token was used: by the hash of its ciphertext, or of a signed token's `jti`."""

    __tablename__ = "token_use"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    uses: Mapped[int] = mapped_column(Integer)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class SSOState(Base):
    """A sign-on that was begun and has not come back: the `state` that travels, stored as its SHA-256."""

    __tablename__ = "sso_state"

    state_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    # SHA-256 of the cookie of the browser that began.
    browser_hash: Mapped[str] = mapped_column(String(64))
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)


class APIKey(Base):
    """A key for programs: `sk-…`, stored as a keyed hash, shown once."""

    __tablename__ = "api_key"
    __table_args__ = (UniqueConstraint("secret_hash"), MARIADB)

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    last4: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]] = mapped_column(JSON)
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class SealedSecret(Base):
    """A secret of the server's own, sealed with the master key."""

    __tablename__ = "sealed_secret"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    sealed: Mapped[bytes] = mapped_column(LargeBinary(1024))

    @property
    def seal_context(self) -> str:
        """What it is sealed for."""
        return self.name


class Audit(Base):
    """What somebody changed about identities. Rows are added, never changed, and hold no secret."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "client_id", "at"), {"sqlite_autoincrement": True, **MARIADB})

    id: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True
    )
    at: Mapped[datetime] = mapped_column(UTCDateTime, index=True)
    # Who: `cli`, `server`, or a caller as `<client>/<user or key:id>`.
    actor: Mapped[str] = mapped_column(String(100))
    # What: `client.disable`, `session.start` …
    action: Mapped[str] = mapped_column(String(40))
    # To whom. Without a foreign key: the row outlives the client.
    client_id: Mapped[str | None] = mapped_column(String(32))
    target: Mapped[str] = mapped_column(String(100))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)
