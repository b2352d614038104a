"""Secrets at rest: private keys are sealed with AES-256-GCM, api keys are stored as keyed hashes.

Both keys are derived with HKDF from one master key of 32 bytes (`master_key.py`). Losing it loses the private keys.
"""

import hashlib
import hmac
import secrets

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF

from server.core.errors import SettingsError

_NONCE, _TAG = 12, 16


class WrongMasterKey(SettingsError):
    """Another master key sealed this."""

    def __init__(self) -> None:
        super().__init__(
            "[auth] master_key: this is not the master key that sealed the private keys; "
            "restore secrets/master.key in data_dir (or AUTH__MASTER_KEY) from your backup"
        )


class Vault:
    """Seals and opens secrets, and hashes api keys. Knows neither database nor files."""

    def __init__(self, master_key: bytes) -> None:
        """`master_key`: 32 bytes."""
        self._sealing = _derive(master_key, b"seal private keys")
        self._pepper = _derive(master_key, b"hash api keys")
        self._signing = _derive(master_key, b"sign cookies")

    def seal(self, plain: bytes, *, context: str) -> bytes:
        """Encrypt; `context` (say, client and key id) must be given again to open."""
        nonce = secrets.token_bytes(_NONCE)
        cipher = AES.new(self._sealing, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
        cipher.update(context.encode())
        body, tag = cipher.encrypt_and_digest(plain)
        return nonce + tag + body

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt. Raises WrongMasterKey."""
        nonce, tag, body = sealed[:_NONCE], sealed[_NONCE : _NONCE + _TAG], sealed[_NONCE + _TAG :]
        try:
            cipher = AES.new(self._sealing, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
            cipher.update(context.encode())
            return cipher.decrypt_and_verify(body, tag)
        except ValueError as error:
            raise WrongMasterKey from error

    def can_open(self, sealed: bytes, *, context: str) -> bool:
        """Was this sealed with this master key?"""
        try:
            self.open(sealed, context=context)
        except WrongMasterKey:
            return False
        return True

    @property
    def pepper(self) -> bytes:
        """What api keys are hashed with."""
        return self._pepper

    def use_pepper(self, pepper: bytes) -> None:
        """Hash api keys with this instead of what the master key gives: it outlives a change of the master key."""
        self._pepper = pepper

    def sign(self, value: str) -> str:
        """`value` and a mark that only this server can make, for a cookie that comes back."""
        return f"{value}.{hmac.new(self._signing, value.encode(), hashlib.sha256).hexdigest()}"

    def unsign(self, signed: str) -> str | None:
        """What `sign` was given, or None when the mark is not ours."""
        value = signed.rpartition(".")[0]
        ours = self.sign(value).encode()
        return value if hmac.compare_digest(signed.encode(), ours) else None

    def hash_api_key(self, secret: str) -> str:
        """HMAC-SHA-256 in hexadecimal: without the master key a stolen table cannot even be searched for a key."""
        return hmac.new(self._pepper, secret.encode(), hashlib.sha256).hexdigest()


def hash_session(secret: str) -> str:
    """SHA-256 in hexadecimal. A session secret has 256 random bits, so it needs neither salt nor stretching."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _derive(master_key: bytes, purpose: bytes) -> bytes:
    return HKDF(master_key, 32, b"chat2llm", SHA256, context=purpose)
