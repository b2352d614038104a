"""The socket that requests come in by."""

import socket


def listen(host: str, port: int) -> socket.socket:
    """Listen on an IPv4 or IPv6 address or a name; `::` is every address, of either kind. Raises OSError."""
    if ":" not in host:
        return socket.create_server((host, port), backlog=2048)
    both = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=2048, dualstack_ipv6=both)
