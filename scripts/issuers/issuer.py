"""One golden token (see ../make_token_vectors.py): issuer.py PEM PADDING raw|base64 OUTER PLAIN."""

import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from Crypto.Cipher import PKCS1_OAEP, PKCS1_v1_5
from Crypto.Hash import SHA1, SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature.pss import MGF1

_, file, padding, inner, outer, plain = sys.argv
key = RSA.import_key(Path(file).read_bytes())
ciphers: dict[str, Callable[[], Any]] = {
    "PKCS1_OAEP.new(key)": lambda: PKCS1_OAEP.new(key),
    "PKCS1_OAEP.new(key, hashAlgo=SHA256)": lambda: PKCS1_OAEP.new(key, hashAlgo=SHA256),
    "PKCS1_OAEP.new(key, hashAlgo=SHA256, mgfunc=MGF1 with SHA1)": lambda: PKCS1_OAEP.new(
        key, hashAlgo=SHA256, mgfunc=lambda seed, length: MGF1(seed, length, SHA1)
    ),
    "PKCS1_v1_5.new(key)": lambda: PKCS1_v1_5.new(key),
}
sealed = ciphers[padding]().encrypt(plain.encode())
body = plain.partition("|")[0].encode() + b"|" + (sealed if inner == "raw" else base64.b64encode(sealed))
token = {
    "standard": base64.b64encode(body),
    "url-safe": base64.urlsafe_b64encode(body),
    "unpadded": base64.b64encode(body).rstrip(b"="),
    "lines": base64.encodebytes(body),
}[outer]
sys.stdout.write(token.decode())
