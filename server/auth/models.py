"""Tables: who may call."""

from datetime import datetime

from sqlalchemy import JSON, ForeignKey, ForeignKeyConstraint, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from server.db.base import MARIADB, Base, Id, LongText, UTCDateTime


class Client(Base):
    """A system that vouches for its own users: a mini-app, a portal, a back end."""

    __tablename__ = "client"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    description: Mapped[str] = mapped_column(String(100), default="")
    enabled: Mapped[bool] = mapped_column(default=True)
    # The RSA padding that opened this client's last token; tried first.
    padding: Mapped[str | None] = mapped_column(String(16), default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class ClientKey(Base):
    """An RSA key pair of a client. The public half goes to the issuer, the private half never leaves, sealed."""

    __tablename__ = "client_key"

    id: Mapped[str] = mapped_column(Id, primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16), default="active")  # active | retiring | disabled
    public_pem: Mapped[str] = mapped_column(LongText)
    sealed_private: Mapped[bytes] = mapped_column(LargeBinary(8192))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class User(Base):
    """A person, known by the client's word only. Made at first sight."""

    __tablename__ = "user"

    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    username: Mapped[str] = mapped_column(String(64), default="")
    role: Mapped[str] = mapped_column(String(16), default="reader")  # reader | manager | admin
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class AuthSession(Base):
    """A login: an opaque `st_…` secret, stored as its SHA-256."""

    __tablename__ = "auth_session"
    __table_args__ = (
        ForeignKeyConstraint(["client_id", "user_id"], ["user.client_id", "user.id"], ondelete="CASCADE"),
        MARIADB,
    )

    secret_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    client_id: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UTCDateTime)
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
