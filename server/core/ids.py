"""Identifiers: 128 random bits each, so that knowing one tells nothing of another."""

import base64
import secrets
import uuid


def new_id(prefix: str) -> str:
    """Return `<prefix>_` and 26 lower-case letters and digits (safe in any file system and collation)."""
    return f"{prefix}_{base64.b32encode(secrets.token_bytes(16)).decode().rstrip('=').lower()}"


def new_hex_id() -> str:
    """Return 32 hexadecimal characters, the form the contract gives session and message ids."""
    return uuid.uuid4().hex
