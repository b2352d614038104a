"""The api_token, version 1, as issuers make it: pure functions, no database, no HTTP.

    plain = client_id "|" user_id "|" username "|" timestamp                 UTF-8
    A     = RSA-OAEP(plain) with the client's public key, raw or base64      one block (see Form)
    token = base64(client_id "|" A)                                          or client_id "~" kid, to name the key

Which hash OAEP uses depends on the issuer's library, so three variants are tried: SHA-256 for both (Python, Bouncy
Castle), SHA-256 with MGF1-SHA-1 (Java's own provider), SHA-1 for both (PHP, Node, .NET). They exclude each other: the
wrong one fails. PKCS#1 v1.5 is read with a key pair of its own only, and never fails: what is not padded rightly becomes
another message (implicit rejection), so that nobody learns which it was. Whoever holds the "public" key can mint tokens, so it is an issuer's secret in fact.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, cast
from urllib.parse import quote, unquote

from Crypto.Cipher import PKCS1_OAEP, PKCS1_v1_5
from Crypto.Hash import SHA1, SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature.pss import MGF1
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.auth.principal import is_persons_id
from server.core.i18n import Text

Padding = Literal["oaep-256/256", "oaep-256/1", "oaep-1/1", "pkcs1v15"]
PKCS1V15: Padding = "pkcs1v15"
# What a key for OAEP is tried with.
PADDINGS: tuple[Padding, ...] = ("oaep-256/256", "oaep-256/1", "oaep-1/1")
_HASHES = {"oaep-256/256": (SHA256, SHA256), "oaep-256/1": (SHA256, SHA1), "oaep-1/1": (SHA1, SHA1)}

MAX_TOKEN_CHARS = 2048
MAX_BLOCKS = 4
# Of a key that is imported: the least, the most, and what a good one has.
MIN_KEY_BITS, MAX_KEY_BITS, DEFAULT_KEY_BITS = 1024, 4096, 2048
CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
KID = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SECONDS = re.compile(r"[0-9]{10}(\.[0-9]{1,7})?")
_MILLISECONDS = re.compile(r"[0-9]{13}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Control, format, surrogate, private use, unassigned; the separators of lines and paragraphs.
FORBIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# What `check_user_id` checks, for people.
USER_ID_RULE = Text(
    "user_id 应为 1–64 字节，不含 |、不可见字符和首尾空格，不是 . 或 ..，不以 key: 开头",
    "a user_id has 1 to 64 bytes, without |, invisible characters and spaces at its ends, is not . or .., and does not "
    "begin with key:",
)


class TokenError(Exception):
    """Why a token is refused. The reason goes to the log and never to the caller."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Form:
    """What the tokens of one client may differ in; the default is what every issuer should make."""

    # RSA blocks, each encrypted on its own. Nothing binds them together: of two tokens a third one can be joined.
    max_blocks: int = 1
    # User id and username are percent-encoded, so that they may hold anything.
    pct_fields: bool = False


PLAIN_FORM = Form()


@dataclass(frozen=True, slots=True)
class SealedToken:
    """A token before decryption: who claims to have made it, and the ciphertext or its base64."""

    client_id: str
    body: bytes
    # Which of the client's keys it names, if any.
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says, of either version."""

    client_id: str
    user_id: str
    username: str
    issued_at: datetime
    # The same for every way of writing the same token down: what its uses are counted by.
    use_hash: str
    # The padding that opened it; None for a signed token.
    padding: Padding | None = None
    # When a signed token says that it ends.
    expires_at: datetime | None = None


def parse_token(token: str) -> SealedToken:
    """Take off the outer base64. Raises TokenError."""
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenError("too_long")
    outer = decode_base64(token.encode("utf-8", "replace"))
    head, bar, body = outer.partition(b"|")
    client_id, tilde, kid = head.decode("ascii", "replace").partition("~")
    if not bar or not body or not CLIENT_ID.fullmatch(client_id) or (tilde and not KID.fullmatch(kid)):
        raise TokenError("malformed")
    return SealedToken(client_id, body, kid or None)


def open_token(
    sealed: SealedToken,
    private_key: RSA.RsaKey,
    paddings: Sequence[Padding] = PADDINGS,
    form: Form = PLAIN_FORM,
) -> Claims:
    """Decrypt and check everything that needs no clock. Raises TokenError.

    `paddings` are tried in order; put the one that worked last time first.
    """
    cipher_text = cipher_text_of(sealed, private_key.size_in_bytes(), form)
    plain, padding = _decrypt(private_key, cipher_text, paddings)
    try:
        fields = plain.decode("utf-8").split("|")
    except UnicodeDecodeError:
        raise TokenError("utf8") from None
    if len(fields) != 4:
        raise TokenError("fields")
    client_id, user_id, username, timestamp = fields
    if form.pct_fields:
        user_id, username = _percent_decode(user_id), _percent_decode(username)
    if not hmac.compare_digest(client_id.encode(), sealed.client_id.encode()):
        raise TokenError("client_mismatch")
    use_hash = hashlib.sha256(client_id.encode() + b"\0" + cipher_text).hexdigest()
    issued_at = parse_timestamp(timestamp)
    return Claims(client_id, check_user_id(user_id), clean_username(username), issued_at, use_hash, padding)


def cipher_text_of(sealed: SealedToken, size: int, form: Form) -> bytes:
    """The ciphertext of a key of `size` bytes, raw or base64. Raises TokenError."""
    sizes = range(size, size * form.max_blocks + 1, size)
    try:
        decoded = decode_base64(sealed.body)
    except TokenError:
        if len(sealed.body) in sizes:
            return sealed.body
        raise
    # First: the base64 of three blocks is as long as four raw ones.
    for found in (decoded, sealed.body):
        if len(found) in sizes:
            return found
    raise TokenError("blocks" if len(decoded) in range(size, size * MAX_BLOCKS + 1, size) else "length")


def check_age(claims: Claims, now: datetime, *, max_age: timedelta, max_skew: timedelta) -> None:
    """Raises TokenError("expired") or TokenError("future"). Both limits belong to what is allowed."""
    age = now - claims.issued_at
    if age > max_age:
        raise TokenError("expired")
    if age < -max_skew:
        raise TokenError("future")


def make_token(
    client_id: str,
    user_id: str,
    username: str,
    issued_at: datetime,
    public_key: RSA.RsaKey,
    padding: Padding = PADDINGS[0],
    form: Form = PLAIN_FORM,
) -> str:
    """Make a token as an issuer would. Raises TokenError for a user id or a name that cannot stand in it, and when it does
    not fit into its blocks."""
    if "|" in username and not form.pct_fields:
        raise TokenError("username")
    fields = [check_user_id(user_id), username]
    if form.pct_fields:
        fields = [quote(field, safe="") for field in fields]
    plain = "|".join([client_id, *fields, str(int(issued_at.timestamp()))]).encode()
    room = _room(public_key, padding)
    if len(plain) > room * form.max_blocks:
        raise TokenError("plaintext_too_long")
    cipher = _cipher(public_key, padding)
    cipher_text = b"".join(cipher.encrypt(plain[at : at + room]) for at in range(0, len(plain), room))
    return base64.b64encode(client_id.encode() + b"|" + base64.b64encode(cipher_text)).decode()


def new_key_pair(bits: int = DEFAULT_KEY_BITS) -> RSA.RsaKey:
    """A fresh RSA key, exponent 65537. OpenSSL finds its primes in a tenth of the time that Python takes."""
    key = generate_private_key(65537, bits)
    return RSA.import_key(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


def public_pem(key: RSA.RsaKey) -> str:
    """SubjectPublicKeyInfo PEM (`BEGIN PUBLIC KEY`), what issuers' libraries read."""
    return key.public_key().export_key(format="PEM").decode()


def private_pem(key: RSA.RsaKey) -> str:
    """PKCS#1 PEM (`BEGIN RSA PRIVATE KEY`), the form of the tables this project can import."""
    return key.export_key(format="PEM", pkcs=1).decode()


def read_private_key(pem: str) -> RSA.RsaKey:
    """Read an RSA private key, PKCS#1 or PKCS#8 PEM without a passphrase. Raises TokenError("private_key")."""
    try:
        key = RSA.import_key(pem)
    except (ValueError, IndexError, TypeError):
        raise TokenError("private_key") from None
    if not (key.has_private() and MIN_KEY_BITS <= key.size_in_bits() <= MAX_KEY_BITS):
        raise TokenError("private_key")
    return key


def decode_base64(data: bytes) -> bytes:
    """Decode what issuers really send: both alphabets, missing padding, line breaks, `+` turned into a space."""
    text = data.replace(b"\r", b"").replace(b"\n", b"").replace(b" ", b"+")
    text = text.replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
    if not text or not _BASE64.fullmatch(text):
        raise TokenError("base64")
    try:
        decoded = base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise TokenError("base64") from None
    # The bits that the last character has left over are zero: every other bit of a token counts.
    if base64.b64encode(decoded).rstrip(b"=") != text:
        raise TokenError("base64")
    return decoded


def parse_timestamp(text: str) -> datetime:
    """Seconds (10 digits, optional fraction) or milliseconds (13 digits). Everything else, NaN too, is refused."""
    if _SECONDS.fullmatch(text):
        return datetime.fromtimestamp(float(text), UTC)
    if _MILLISECONDS.fullmatch(text):
        return datetime.fromtimestamp(int(text) / 1000, UTC)
    raise TokenError("timestamp")


def check_user_id(user_id: str) -> str:
    """1–64 bytes, nothing invisible, no `|`, no space at either end, no `key:` before it; taken as it is, without
    normalisation. Raises TokenError; USER_ID_RULE says the rule to people.

    Not `.` or `..` either: in an address of the administration they would mean something else than a user.
    """
    if user_id in (".", "..") or not is_persons_id(user_id):
        raise TokenError("user_id")
    if not 1 <= len(user_id.encode("utf-8", "replace")) <= 64 or user_id != user_id.strip() or "|" in user_id:
        raise TokenError("user_id")
    if has_invisible(user_id):
        raise TokenError("user_id")
    return user_id


def has_invisible(text: str) -> bool:
    """Is there a character that nobody sees, or that a terminal obeys?"""
    return any(unicodedata.category(character) in FORBIDDEN_CATEGORIES for character in text)


def clean_username(username: str) -> str:
    """A name is for display only: invisible characters go, 64 characters stay."""
    return "".join(c for c in username if unicodedata.category(c) not in FORBIDDEN_CATEGORIES)[:64]


def _percent_decode(field: str) -> str:
    """Undo `%E5%BC%A0`; a `+` stays one. Raises TokenError for a `%` that begins nothing, and for what is not UTF-8."""
    if _BAD_ESCAPE.search(field):
        raise TokenError("percent")
    try:
        return unquote(field, errors="strict")
    except UnicodeDecodeError:
        raise TokenError("percent") from None


def _decrypt(key: RSA.RsaKey, cipher_text: bytes, paddings: Sequence[Padding]) -> tuple[bytes, Padding]:
    size = key.size_in_bytes()
    blocks = [cipher_text[at : at + size] for at in range(0, len(cipher_text), size)]
    once = cast("RSA.RsaKey", _OncePerBlock(key))
    for padding in paddings:
        try:
            return b"".join(_cipher(once, padding).decrypt(block) for block in blocks), padding
        except ValueError:  # another padding, another key, or noise: all look alike
            continue
    raise TokenError("decrypt")


class _OncePerBlock:
    """A private key that keeps what it opened: the RSA operation is the same for every padding, and nearly all the work."""

    def __init__(self, key: RSA.RsaKey) -> None:
        self._key = key
        self._blocks: dict[int, bytes] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._key, name)

    def _decrypt_to_bytes(self, cipher_text: int) -> bytes:
        """What PyCryptodome's ciphers call."""
        if cipher_text not in self._blocks:
            self._blocks[cipher_text] = self._key._decrypt_to_bytes(cipher_text)  # type: ignore[no-untyped-call]
        return self._blocks[cipher_text]


def check_implicit_rejection(key: RSA.RsaKey) -> bool:
    """Does PKCS#1 v1.5 hide whether the padding was right? Eight blocks of noise must all open, each always the same."""
    size = key.size_in_bytes()
    blocks = [secrets.randbelow(key.n).to_bytes(size, "big") for _ in range(8)]
    try:
        return all(
            _cipher(key, PKCS1V15).decrypt(block) == _cipher(key, PKCS1V15).decrypt(block) for block in blocks
        )
    except (ValueError, TypeError):  # an older library, which refuses
        return False


def _room(key: RSA.RsaKey, padding: Padding) -> int:
    """Bytes that fit into one block."""
    if padding == PKCS1V15:
        return int(key.size_in_bytes()) - 11
    return int(key.size_in_bytes()) - 2 * int(_HASHES[padding][0].digest_size) - 2


def _cipher(key: RSA.RsaKey, padding: Padding) -> Any:
    if padding == PKCS1V15:
        return PKCS1_v1_5.new(key)
    label_hash, mask_hash = _HASHES[padding]
    return PKCS1_OAEP.new(key, hashAlgo=label_hash, mgfunc=lambda seed, length: MGF1(seed, length, mask_hash))
