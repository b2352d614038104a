"""Who calls, and what they may do."""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What a caller may do. Api keys carry scopes, people get them from their role.

    `vouch` is for an issuer's back end: it may say who a user is, as the client's RSA key may.
    """

    CHAT = "chat"
    KB_READ = "kb:read"
    KB_WRITE = "kb:write"
    USAGE = "usage"
    VOUCH = "vouch"
    ADMIN = "admin"


class Role(StrEnum):
    READER = "reader"
    MANAGER = "manager"
    ADMIN = "admin"


ROLE_SCOPES: dict[Role, frozenset[Scope]] = {
    Role.READER: frozenset({Scope.CHAT, Scope.KB_READ}),
    Role.MANAGER: frozenset({Scope.CHAT, Scope.KB_READ, Scope.KB_WRITE}),
    Role.ADMIN: frozenset(Scope) - {Scope.VOUCH},
}


# What the `user_id` of an api key begins with. No person is called so: `api_token.check_user_id`, `is_persons_id`.
KEY_CALLER = "key:"


def is_persons_id(user_id: str) -> bool:
    """Could this be a person's id, rather than what an api key owns things under?"""
    return not user_id.startswith(KEY_CALLER)


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of one request: a user of a client, or an api key of a client.

    `user_id` is what owns sessions and messages; an api key owns its own under `key:<id>`.
    """

    client_id: str
    user_id: str
    username: str
    scopes: frozenset[Scope]
    # The login that a session's secret belongs to.
    session_id: str | None = None
    # The api key that the caller is. What a caller is called never says what they are: issuers choose names.
    api_key_id: str | None = None

    @property
    def actor(self) -> str:
        """How the audit names this caller."""
        return f"{self.client_id}/{self.user_id}"

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes
