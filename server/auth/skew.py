"""Clocks of issuers that run ahead. Only a token from the future tells: one from the past may have been on its way."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from cachetools import LRUCache

from server.auth.api_token import Claims

log = logging.getLogger(__name__)

_CLIENTS = 1000
_WARN_FROM = timedelta(seconds=60)
_WARN_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Ahead:
    """How far in the future a token was, which its issuer's clock is ahead by at least, and when that was seen."""

    seconds: int
    seen_at: datetime


class ClockSkew:
    """The latest token from the future of each client, as this process saw them."""

    def __init__(self) -> None:
        self._latest: LRUCache[str, Ahead] = LRUCache(_CLIENTS)
        self._warned: LRUCache[str, datetime] = LRUCache(_CLIENTS)

    def note(self, claims: Claims, now: datetime) -> None:
        """A token was opened that nobody had seen before. More than a minute ahead is told in the log, once an hour."""
        ahead = claims.issued_at - now
        if ahead < timedelta(seconds=1):
            return
        client_id, seconds = claims.client_id, int(ahead.total_seconds())
        self._latest[client_id] = Ahead(seconds, now)
        warned_at = self._warned.get(client_id)
        if ahead > _WARN_FROM and (warned_at is None or now - warned_at >= _WARN_EVERY):
            self._warned[client_id] = now
            log.warning("a client's clock is ahead", extra={"client": client_id, "seconds": seconds})

    def of(self, client_id: str) -> Ahead | None:
        return self._latest.get(client_id)
