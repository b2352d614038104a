"""Make a signed token (version 2): chat2llm keeps your public key only, so that nobody there can make one.

    pip install cryptography
    python signed_token.py oa_signing.pem s1 oa zhangsan 张三

Runs on your own server only: the private key never leaves it.
"""

import base64
import json
import secrets
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key


def make_signed_token(
    private_key: Ed25519PrivateKey, kid: str, client_id: str, user_id: str, name: str = ""
) -> str:
    """Return a token for this user, good for one session within five minutes."""
    now = int(time.time())
    header = {"alg": "EdDSA", "kid": kid, "typ": "c2l-client+jwt"}
    claims = {
        "iss": client_id,
        "aud": "chat2llm",
        "sub": user_id,
        "name": name,
        "iat": now,
        "exp": now + 300,
        "jti": secrets.token_urlsafe(16),
    }
    signed = f"{_base64url(json.dumps(header).encode())}.{_base64url(json.dumps(claims).encode())}"
    return f"{signed}.{_base64url(private_key.sign(signed.encode()))}"


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def main() -> int:
    if len(sys.argv) != 6:
        print("usage: python signed_token.py PRIVATE_PEM KID CLIENT_ID USER_ID NAME", file=sys.stderr)
        return 2
    try:
        key = load_pem_private_key(Path(sys.argv[1]).read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        print(error, file=sys.stderr)
        return 1
    if not isinstance(key, Ed25519PrivateKey):
        print(f"no Ed25519 key in {sys.argv[1]}", file=sys.stderr)
        return 1
    print(make_signed_token(key, *sys.argv[2:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
