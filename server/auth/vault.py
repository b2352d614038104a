"""Secrets at rest: private keys are sealed with AES-256-GCM, api keys are stored as keyed hashes.

Both keys are derived with HKDF from one master key of 32 bytes, which comes from `[auth] master_key` or from a file
with mode 0600 that the first start makes. Losing the master key loses the private keys.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF

from server.core.errors import SettingsError

_NONCE, _TAG = 12, 16


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
        """Decrypt. Raises SettingsError when the master key is not the one that sealed."""
        nonce, tag, body = sealed[:_NONCE], sealed[_NONCE : _NONCE + _TAG], sealed[_NONCE + _TAG :]
        cipher = AES.new(self._sealing, AES.MODE_GCM, nonce=nonce, mac_len=_TAG)
        cipher.update(context.encode())
        try:
            return cipher.decrypt_and_verify(body, tag)
        except ValueError as error:
            raise SettingsError(
                "[auth] master_key: this is not the master key that sealed the private keys; "
                "restore secrets/master.key in data_dir (or AUTH__MASTER_KEY) from your backup"
            ) from error

    def can_open(self, sealed: bytes, *, context: str) -> bool:
        """Was this sealed with this master key?"""
        try:
            self.open(sealed, context=context)
        except SettingsError:
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


def master_key_file(data_dir: Path) -> Path:
    return data_dir / "secrets" / "master.key"


def load_master_key(configured: str | None, data_dir: Path) -> bytes:
    """Return the 32 bytes of the master key. Raises SettingsError when there is none or it is malformed."""
    if configured is not None:
        return _parse(configured, "[auth] master_key")
    return read_master_key(master_key_file(data_dir))


def read_master_key(path: Path) -> bytes:
    """Return the 32 bytes of a master key's file. Raises SettingsError."""
    try:
        return _parse(path.read_text(encoding="ascii"), str(path))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no master key yet; run `python init_db.py`, which makes it") from None


def make_secret_file(path: Path, text: str) -> bool:
    """Write `text` to a new file that only its owner can read; return False when the file is there already."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
    return True


def write_secret_file(path: Path, text: str) -> None:
    """Write `text` to a file that only its owner can read, in place of one that may be there; it is on disk then."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _parse(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise SettingsError(f"{where}: a master key is 64 hexadecimal characters (openssl rand -hex 32)")
    return key
