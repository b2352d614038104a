"""What an operator does with the keys of clients: one function for each, with its line in the audit, as in `management`."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from Crypto.PublicKey import RSA
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import api_token, repository, signed_token
from server.auth.api_token import TokenError
from server.auth.audit import audit
from server.auth.management import get_client
from server.auth.models import ClientKey, KeyKind, KeyState
from server.auth.service import NewClient, add_client, add_key_pair, next_kid, no_rsa_key
from server.auth.sessions import end_sessions
from server.auth.tokens import is_open
from server.auth.vault import Vault
from server.core.errors import AlreadyExists, Conflict, Invalid, NotFound
from server.core.i18n import Text
from server.core.ids import new_id

log = logging.getLogger(__name__)

# How long an imported key is good for that is to be replaced: one of less than 2048 bits, or one beside a new one.
_OLD_KEY_KEPT = timedelta(days=180)


async def import_client(
    session: AsyncSession,
    vault: Vault,
    actor: str,
    new: NewClient,
    pem: str,
    now: datetime,
    *,
    allow_weak: bool = False,
) -> ClientKey:
    """Make a client with the RSA key pair that its issuer uses already, so that nothing changes there.

    A key of less than 2048 bits needs `allow_weak`, and ends after half a year. Raises Invalid, AlreadyExists.
    """
    key = _read_key(pem)
    bits = key.size_in_bits()
    is_weak = bits < api_token.DEFAULT_KEY_BITS
    if is_weak and not allow_weak:
        raise Invalid(
            Text(
                f"{bits} 位的 RSA 密钥太弱；确实要用半年时加 --allow-weak-key",
                f"an RSA key of {bits} bits is weak; --allow-weak-key takes it for half a year",
            )
        )
    await add_client(session, vault, new, now, key, actor)
    (row,) = await repository.list_keys(session, new.id)
    if is_weak:
        row.state, row.retire_at = KeyState.RETIRING, now + _OLD_KEY_KEPT
    audit(session, now, actor, "key.import", new.id, row.kid, bits=bits)
    return row


def _read_key(pem: str) -> RSA.RsaKey:
    try:
        return api_token.read_private_key(pem)
    except TokenError:
        raise Invalid(
            Text(
                "密钥应为未加密的 RSA 私钥（PEM），1024–4096 位",
                "the key must be an RSA private key in PEM, without a passphrase, of 1024 to 4096 bits",
            )
        ) from None


async def find_rsa_key(session: AsyncSession, client_id: str, pem: str) -> ClientKey | None:
    """The client's key that has this private half. Raises Invalid for what is no key."""
    public = api_token.public_pem(_read_key(pem))
    keys = await repository.list_keys(session, client_id)
    return next((key for key in keys if key.public_pem == public), None)


async def keep_old_key(
    session: AsyncSession, vault: Vault, actor: str, client_id: str, pem: str, now: datetime
) -> ClientKey:
    """Have the key that a client's issuer used elsewhere be good here too, for half a year, beside the client's own.

    Raises Invalid.
    """
    key = _read_key(pem)
    row = await add_key_pair(session, vault, client_id, now, key=key)
    row.state, row.retire_at = KeyState.RETIRING, now + _OLD_KEY_KEPT
    audit(session, now, actor, "key.import", client_id, row.kid, bits=key.size_in_bits())
    return row


async def warn_of_weak_keys(session: AsyncSession, now: datetime) -> None:
    """One line in the log for each RSA key of less than 2048 bits that is still good."""
    for key in await repository.list_all_open_keys(session, KeyKind.RSA, now):
        bits = RSA.import_key(key.public_pem).size_in_bits()
        if bits < api_token.DEFAULT_KEY_BITS:
            ends = f"{key.retire_at:%F}" if key.retire_at else "never"
            log.warning(
                "weak RSA key: give its client a new one with `client rotate`",
                extra={"client": key.client_id, "key": key.kid, "bits": bits, "ends": ends},
            )


async def show_key(session: AsyncSession, actor: str, client_id: str, now: datetime) -> ClientKey:
    """The newest active RSA key of a client, for its issuer. Whoever has its public half can be any user of the client,
    so that a look at it is noted. Raises NotFound."""
    await get_client(session, client_id)
    keys = await repository.list_open_keys(session, client_id, now)
    key = next((key for key in keys if key.kind == KeyKind.RSA), None)
    if key is None:
        raise no_rsa_key(client_id)
    audit(session, now, actor, "key.show", client_id, key.kid)
    return key


@dataclass(frozen=True, slots=True)
class Rotation:
    """How a client's RSA key gives way to a new one."""

    # How long the old key stays good, so that the issuer can change over; nothing ends it now.
    overlap: timedelta
    # End the key that is still good from the rotation before.
    force: bool = False


async def check_rotation(session: AsyncSession, client_id: str, rotation: Rotation, now: datetime) -> None:
    """Raises NotFound, Conflict where the rotation would end a key that was promised to be good for longer."""
    await get_client(session, client_id)
    keys = await _keys_of(session, client_id, KeyKind.RSA, now)
    if len(keys) < 2 or rotation.force:
        return
    kid, end = keys[1].kid, f"{keys[1].retire_at:%F %R}"
    raise Conflict(
        Text(
            f"上次轮换的旧密钥 {kid} 还可用到 {end} UTC，再轮换会立即停用它；确定时加 --force（force）",
            f"the old key {kid} of the rotation before is good until {end} UTC and would end now; --force (force) does it",
        )
    )


async def rotate_key(
    session: AsyncSession,
    vault: Vault,
    actor: str,
    client_id: str,
    rotation: Rotation,
    now: datetime,
    key: RSA.RsaKey | None = None,
) -> ClientKey:
    """Give a client a new RSA key, a new one unless `key` is given. Raises as `check_rotation`."""
    await check_rotation(session, client_id, rotation, now)
    for number, old in enumerate(await _keys_of(session, client_id, KeyKind.RSA, now)):
        end = now if number else now + rotation.overlap
        # A weak key, imported, has its own end already.
        old.state, old.retire_at = KeyState.RETIRING, min(old.retire_at or end, end)
    await session.flush()
    fresh = await add_key_pair(session, vault, client_id, now, key=key)
    audit(
        session,
        now,
        actor,
        "key.rotate",
        client_id,
        fresh.kid,
        overlap_seconds=int(rotation.overlap.total_seconds()),
    )
    return fresh


async def retiring_keys(session: AsyncSession, client_id: str, now: datetime) -> list[ClientKey]:
    """The client's old RSA keys that are still good."""
    keys = await _keys_of(session, client_id, KeyKind.RSA, now)
    return [key for key in keys if key.state == KeyState.RETIRING]


def state_of(key: ClientKey, now: datetime) -> str:
    """`active`, `retiring`, `disabled`, or `ended` for a key that has retired."""
    return key.state if key.state != KeyState.RETIRING or is_open(key, now) else "ended"


async def revoke_key(session: AsyncSession, actor: str, client_id: str, kid: str, now: datetime) -> ClientKey:
    """End a key of any kind at once, and every session of the client: who began them with this key nobody knows.

    Raises NotFound, Conflict for one that is revoked already.
    """
    await get_client(session, client_id)
    key = await repository.find_key(session, client_id, kid)
    if key is None:
        known = ", ".join(row.kid for row in await repository.list_keys(session, client_id))
        raise NotFound(
            Text(
                f"客户端 {client_id} 没有密钥 {kid}；已有：{known}",
                f"client {client_id} has no key {kid}; there are: {known}",
            )
        )
    if key.state == KeyState.DISABLED:
        raise Conflict(
            Text(
                f"密钥 {kid} 早已作废，没有结束任何登录会话",
                f"key {kid} is revoked already; no session was ended",
            )
        )
    _disable(key)
    ended = await end_sessions(session, client_id)
    audit(session, now, actor, "key.revoke", client_id, kid, sessions=ended)
    return key


async def add_signing_key(
    session: AsyncSession, actor: str, client_id: str, pem: str, now: datetime, kid: str | None = None
) -> ClientKey:
    """Register a client's own public key for signed tokens (version 2), under a name that its tokens carry.

    Raises NotFound, Invalid for a key or name we do not take, AlreadyExists for a name in use.
    """
    await get_client(session, client_id)
    try:
        public_pem = signed_token.normalize_public_key(pem)
    except TokenError:
        raise Invalid(
            Text(
                "公钥应为 PEM（BEGIN PUBLIC KEY）：Ed25519、P-256，或 2048–4096 位 RSA",
                "the key must be a public one in PEM (BEGIN PUBLIC KEY): Ed25519, P-256, or RSA of 2048 to 4096 bits",
            )
        ) from None
    kid = kid or await next_kid(session, client_id)
    if not api_token.KID.fullmatch(kid):
        raise Invalid(
            Text("kid 只能是 1–32 个字母、数字、_ 或 -", "a kid is 1 to 32 letters, digits, _ or -")
        )
    if await repository.find_key(session, client_id, kid):
        raise AlreadyExists(
            Text(f"客户端 {client_id} 已有密钥 {kid}", f"client {client_id} has a key {kid} already")
        )
    key = ClientKey(
        id=new_id("ck"),
        client_id=client_id,
        kid=kid,
        kind=KeyKind.SIGNING,
        public_pem=public_pem,
        created_at=now,
    )
    session.add(key)
    audit(session, now, actor, "key.register", client_id, kid)
    await session.flush()
    return key


async def check_no_pkcs1v15(session: AsyncSession, client_id: str, now: datetime) -> None:
    """Raises NotFound, AlreadyExists where the client uses PKCS#1 v1.5."""
    await get_client(session, client_id)
    if found := await _keys_of(session, client_id, KeyKind.RSA_V15, now):
        raise AlreadyExists(
            Text(
                f"客户端 {client_id} 已开启 PKCS#1 v1.5：密钥 {found[0].kid}",
                f"client {client_id} uses PKCS#1 v1.5 already: key {found[0].kid}",
            )
        )


async def allow_pkcs1v15(
    session: AsyncSession,
    vault: Vault,
    actor: str,
    client_id: str,
    now: datetime,
    key: RSA.RsaKey | None = None,
) -> ClientKey:
    """Give a client a second key pair, for an issuer that can only do PKCS#1 v1.5; `revoke_key` takes it back.

    Raises NotFound, AlreadyExists, Conflict where the library does not hide which padding was right.
    """
    await check_no_pkcs1v15(session, client_id, now)
    key = key or api_token.new_key_pair()
    if not api_token.check_implicit_rejection(key):
        raise Conflict(
            Text(
                "当前 pycryptodome 不支持隐式拒绝，不能开启 PKCS#1 v1.5",
                "this pycryptodome has no implicit rejection: PKCS#1 v1.5 stays off",
            )
        )
    row = await add_key_pair(session, vault, client_id, now, kind=KeyKind.RSA_V15, key=key)
    audit(session, now, actor, "client.pkcs1v15", client_id, row.kid)
    return row


async def list_keys(session: AsyncSession, client_id: str) -> list[ClientKey]:
    """All keys of a client, of every kind and state, the oldest first. Raises NotFound."""
    await get_client(session, client_id)
    return await repository.list_keys(session, client_id)


async def _keys_of(session: AsyncSession, client_id: str, kind: KeyKind, now: datetime) -> list[ClientKey]:
    return [key for key in await repository.list_open_keys(session, client_id, now) if key.kind == kind]


def _disable(key: ClientKey) -> None:
    key.state, key.retire_at = KeyState.DISABLED, None
