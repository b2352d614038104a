"""Limits on guessing and on floods. They count in each process: N workers let N times as much through."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cachetools import TTLCache

from server.core.errors import TooManyRequests
from server.core.i18n import Text
from server.core.limits import RateLimit
from server.core.settings import AuthSettings

log = logging.getLogger(__name__)

_MINUTE = 60
# Warnings of a minute: an operator needs the first, and a flood must not fill the disk.
_TOLD = 20
# Credentials that are checked for the first time: so many at once, so many more that wait, from networks where nobody
# ever came in and from the others.
_AT_ONCE, _WAITING_UNKNOWN, _WAITING = 4, 32, 64
_EVERYWHERE = "*"


class Guard:
    """Counts forged tokens, exchanges and wrong passphrases, and says when it is enough.

    Who is refused is only whoever must still prove something: sessions, api keys and tokens that were opened a moment
    ago go on working from an address that somebody else in the same network abuses.
    """

    def __init__(self, settings: AuthSettings) -> None:
        self._forged_by_address = RateLimit(settings.failures_per_address, _MINUTE)
        self._forged_by_client = RateLimit(settings.failures_per_client, _MINUTE)
        self._exchanges = RateLimit(settings.exchanges_per_address, _MINUTE)
        self._demo_by_address = RateLimit(5, 15 * _MINUTE)
        self._demo = RateLimit(50, 60 * _MINUTE)
        self._visits = RateLimit(settings.demo_visits_per_address, 60 * _MINUTE)
        self._told = RateLimit(1, _MINUTE)
        self._told_altogether = RateLimit(_TOLD, _MINUTE)
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._strangers = 0
        self._known_networks: TTLCache[str, None] = TTLCache(10_000, 24 * 60 * _MINUTE)

    @asynccontextmanager
    async def stranger(self, address: str) -> AsyncIterator[None]:
        """While a credential is checked for the first time. It costs SQL and RSA, so that whoever sends many of them must
        not keep the server from those who are in. Ends well for a good one. Raises TooManyRequests."""
        self.check_strangers(address)
        self._strangers += 1
        try:
            async with self._places:
                yield
        finally:
            self._strangers -= 1
        self._known_networks[network_of(address)] = None

    def check_strangers(self, address: str) -> None:
        """Raises TooManyRequests where a stranger would find no place to wait. A flood from everywhere leaves places to
        networks from which somebody came in before."""
        known = network_of(address) in self._known_networks
        if self._strangers >= _AT_ONCE + (_WAITING if known else _WAITING_UNKNOWN):
            raise TooManyRequests(
                Text("登录人数过多，请稍后再试", "too many logins at once; try again in a moment"),
                retry_after=1,
            )

    def check_forger(self, address: str) -> None:
        """Raises TooManyRequests where an address sent too many forged tokens."""
        self._refuse(self._forged_by_address, network_of(address), "failures_per_address")

    def check_token(self, address: str, client_id: str) -> None:
        """Raises TooManyRequests where too many forged tokens came from.

        A client whose name is abused by others goes on: its limit holds for addresses that sent a forged one themselves.
        """
        self.check_forger(address)
        network = network_of(address)
        if self._forged_by_address.count(network):
            self._refuse(self._forged_by_client, client_id, "failures_per_client")

    def token_was_forged(self, address: str, client_id: str) -> None:
        self._forged_by_address.add(network_of(address))
        self._forged_by_client.add(client_id)

    def check_exchange(self, address: str) -> None:
        """Count an exchange. Raises TooManyRequests."""
        network = network_of(address)
        self._refuse(self._exchanges, network, "exchanges_per_address")
        self._exchanges.add(network)

    def check_demo(self, address: str) -> None:
        """Raises TooManyRequests after too many wrong passphrases, from this address or altogether."""
        self._refuse(self._demo_by_address, network_of(address))
        self._refuse(self._demo, _EVERYWHERE)

    def check_visit(self, address: str) -> None:
        """Count a new visitor of the demo. Raises TooManyRequests: nobody uses up its quota alone."""
        network = network_of(address)
        self._refuse(self._visits, network, "demo_visits_per_address")
        self._visits.add(network)

    def passphrase_was_wrong(self, address: str) -> None:
        self._demo_by_address.add(network_of(address))
        self._demo.add(_EVERYWHERE)

    def _refuse(self, limit: RateLimit, key: str, setting: str = "") -> None:
        """Raises TooManyRequests where `key` reached its limit, and tells the operator which setting that is."""
        seconds = limit.wait(key)
        if seconds is None:
            return
        if setting:
            self._tell(key, f"[auth] {setting}", seconds)
        raise TooManyRequests(
            Text(f"尝试次数过多，请 {seconds} 秒后再试", f"too many attempts; try again in {seconds} s"),
            retry_after=seconds,
        )

    def _tell(self, key: str, setting: str, seconds: int) -> None:
        """Once a minute for each address or client: people call because they cannot log in, and this says why."""
        told = f"{setting} {key}"
        if self._told.wait(told) is None and self._told_altogether.wait(_EVERYWHERE) is None:
            self._told.add(told)
            self._told_altogether.add(_EVERYWHERE)
            extra = {"from": key, "setting": setting, "seconds": seconds}
            log.warning("too many attempts: new logins are refused", extra=extra)


def network_of(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 that one IPv6 household has to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
