"""Make a chat2llm api_token: what tells chat2llm which of your users is asking.

    pip install pycryptodome
    python api_token.py oa_public.pem oa zhangsan 张三

Runs on your own server only. Whoever has this "public" key can make a token for any of your users, so neither the key
nor this code goes into a page, an app or a repository that others read.
"""

import base64
import re
import sys
import time
import unicodedata
from pathlib import Path

from Crypto.Cipher import PKCS1_OAEP
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA


def make_api_token(public_key: RSA.RsaKey, client_id: str, user_id: str, username: str = "") -> str:
    """Return a token for this user that is made now. Raises ValueError for what chat2llm would refuse."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", client_id):
        raise ValueError("client_id must be 1 to 32 letters, digits, _ or -")
    unwanted = any(char == "|" or unicodedata.category(char).startswith("C") for char in user_id)
    if unwanted or not 1 <= len(user_id.encode()) <= 64 or user_id != user_id.strip():
        raise ValueError(
            "user_id must be 1 to 64 bytes, without |, invisible characters and spaces at its ends"
        )
    if "|" in username:
        raise ValueError("username must not contain |")

    plain = f"{client_id}|{user_id}|{username}|{int(time.time())}".encode()
    too_long = len(plain) - (public_key.size_in_bytes() - 2 * SHA256.digest_size - 2)
    if too_long > 0:
        raise ValueError(f"{too_long} bytes too long for this key: shorten the username or leave it empty")

    sealed = PKCS1_OAEP.new(public_key, hashAlgo=SHA256).encrypt(plain)
    return base64.b64encode(client_id.encode() + b"|" + base64.b64encode(sealed)).decode()


def main() -> int:
    if len(sys.argv) != 5:
        print("usage: python api_token.py PUBLIC_PEM CLIENT_ID USER_ID USERNAME", file=sys.stderr)
        return 2
    try:
        key = RSA.import_key(Path(sys.argv[1]).read_bytes())
        print(make_api_token(key, *sys.argv[2:]))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
