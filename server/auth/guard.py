"""Limits on guessing and on floods. They count in each process: N workers let N times as much through."""

import ipaddress

from server.core.errors import TooManyRequests
from server.core.i18n import Text
from server.core.limits import RateLimit
from server.core.settings import AuthSettings

_MINUTE = 60
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

    def check_token(self, address: str, client_id: str) -> None:
        """Raises TooManyRequests where too many forged tokens came from.

        A client whose name is abused by others goes on: its limit holds for addresses that sent a forged one themselves.
        """
        network = network_of(address)
        _refuse(self._forged_by_address.wait(network))
        if self._forged_by_address.count(network):
            _refuse(self._forged_by_client.wait(client_id))

    def token_was_forged(self, address: str, client_id: str) -> None:
        self._forged_by_address.add(network_of(address))
        self._forged_by_client.add(client_id)

    def check_exchange(self, address: str) -> None:
        """Count an exchange. Raises TooManyRequests."""
        network = network_of(address)
        _refuse(self._exchanges.wait(network))
        self._exchanges.add(network)

    def check_demo(self, address: str) -> None:
        """Raises TooManyRequests after too many wrong passphrases, from this address or altogether."""
        _refuse(self._demo_by_address.wait(network_of(address)))
        _refuse(self._demo.wait(_EVERYWHERE))

    def passphrase_was_wrong(self, address: str) -> None:
        self._demo_by_address.add(network_of(address))
        self._demo.add(_EVERYWHERE)


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


def _refuse(seconds: int | None) -> None:
    if seconds is not None:
        raise TooManyRequests(
            Text(f"尝试次数过多，请 {seconds} 秒后再试", f"too many attempts; try again in {seconds} s"),
            retry_after=seconds,
        )
