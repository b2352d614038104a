"""The certificates that services elsewhere are checked against."""

import functools
import ssl

import httpx2


@functools.cache
def tls_context() -> ssl.SSLContext:
    """One for all HTTP clients of a process: reading the authorities takes tens of milliseconds each time."""
    return httpx2.create_ssl_context()
