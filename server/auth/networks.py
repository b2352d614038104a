"""The addresses from which a client's tokens are taken: networks and single addresses, IPv4 and IPv6."""

import functools
import ipaddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def join_networks(networks: list[str]) -> str:
    """As a client has them in the database. Raises ValueError, which names what is no network."""
    return " ".join(str(ipaddress.ip_network(network.strip())) for network in networks)


def is_allowed(address: str, joined: str) -> bool:
    """May it come from there? From anywhere, where there are no networks; what is no address comes from nowhere."""
    if not joined:
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in _parse(joined))


@functools.lru_cache(1000)
def _parse(joined: str) -> tuple[Network, ...]:
    return tuple(map(ipaddress.ip_network, joined.split()))
