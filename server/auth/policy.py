"""What a client's tokens are good for."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from server.core.settings import AuthSettings


class Policy(StrEnum):
    """How a client's tokens may be used; the looser ones are for issuers and pages that exist already."""

    COMPAT = "compat"
    EXCHANGE = "exchange"
    STRICT = "strict"


@dataclass(frozen=True, slots=True)
class Rules:
    """A policy in figures."""

    max_age: timedelta
    # How far in the future an issuer's clock may run.
    max_skew: timedelta
    # Times that one token may be exchanged for a session; None is any number.
    max_uses: int | None
    # Whether a token is a credential on every route, or only where it is exchanged.
    is_credential: bool


def rules_of(policy: Policy, settings: AuthSettings) -> Rules:
    """The rules of a policy; those of `compat` are configured."""
    if policy == Policy.COMPAT:
        return Rules(settings.token_max_age, settings.token_max_skew, None, is_credential=True)
    if policy == Policy.EXCHANGE:
        return Rules(timedelta(minutes=10), timedelta(seconds=120), 3, is_credential=False)
    return Rules(timedelta(seconds=120), timedelta(seconds=60), 1, is_credential=False)
