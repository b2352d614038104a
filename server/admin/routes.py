"""HTTP: what an operator does. Each route is one function of `server.auth.management` or `client_keys`, in a transaction of its own.

An api key with the scope `admin` operates all clients; a person with the role `admin` their own one, and what belongs
to another is not there for them.
"""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends

from server.admin.deps import Admin, Desk, DeskDep, Operator, is_operator
from server.admin.schemas import (
    APIKeyIn,
    APIKeyOut,
    AuditOut,
    ClientIn,
    ClientOut,
    ClientPatch,
    CountOut,
    KeyOut,
    ManagedSessionOut,
    ManagedUserOut,
    PublicKeyOut,
    RotateIn,
    SecretOut,
    SigningKeyIn,
    StepOut,
    TokenIn,
    UserPatch,
)
from server.auth import client_keys, inspection, management, service
from server.auth.client_keys import Rotation
from server.auth.models import APIKey, Client, ClientKey, User
from server.auth.principal import Principal, Scope
from server.auth.service import NewClient
from server.core.errors import Forbidden, NotFound
from server.core.http import Envelope, Lang, SmallBodyRoute, new_router
from server.core.i18n import Text
from server.core.pagination import Page, PageParams

router = new_router(tags=["Administration"], route_class=SmallBodyRoute)
Paging = Annotated[PageParams, Depends()]

# ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/admin/clients")
async def list_clients(caller: Admin, desk: DeskDep) -> Envelope[list[ClientOut]]:
    """All clients; for a person with the role `admin`, their own one."""
    async with desk.database.read() as session:
        clients = await management.list_clients(session)
    mine = [client for client in clients if is_operator(caller) or client.id == caller.client_id]
    return Envelope(data=[_client_out(client) for client in mine])


@router.post("/admin/clients")
async def add_client(caller: Operator, desk: DeskDep, body: ClientIn) -> Envelope[PublicKeyOut]:
    """A new client with its first key, whose public half goes to the issuer's server."""
    new = NewClient(body.client_id, body.description, body.policy)
    async with desk.database.read() as session:
        await service.check_new(session, new)
    key = await desk.draw_key()
    async with desk.database.write() as session:
        await service.add_client(session, desk.vault, new, desk.now, key, caller.actor)
        row = await client_keys.show_key(session, caller.actor, body.client_id, desk.now)
    return Envelope(data=_public_key_out(row, desk.now))


@router.patch("/admin/clients/{client_id}")
async def change_client(
    caller: Admin, desk: DeskDep, client_id: str, body: ClientPatch
) -> Envelope[ClientOut]:
    """Change what is given: policy, frame ancestors, options. Only an operator (an api key) disables and enables."""
    if body.enabled is not None and not is_operator(caller):
        raise Forbidden(
            Text("没有权限：只有运维可以停用客户端", "not allowed: only an operator disables clients")
        )
    async with desk.change(caller, client_id) as session:
        client = await management.get_client(session, client_id)
        if body.policy is not None:
            client = await management.set_policy(session, caller.actor, client_id, body.policy, desk.now)
        if body.frame_ancestors is not None:
            client = await management.set_frame_ancestors(
                session, caller.actor, client_id, body.frame_ancestors, desk.now
            )
        if body.options:
            client = await management.set_options(session, caller.actor, client_id, desk.now, **body.options)
        if body.enabled is not None:
            client = await management.set_client_enabled(
                session, caller.actor, client_id, enabled=body.enabled, now=desk.now
            )
    return Envelope(data=_client_out(client))


@router.get("/admin/clients/{client_id}/keys")
async def list_keys(caller: Admin, desk: DeskDep, client_id: str) -> Envelope[list[KeyOut]]:
    """All keys of a client, of every kind and state, without their text; the oldest first."""
    async with desk.look(caller, client_id) as session:
        keys = await client_keys.list_keys(session, client_id)
    return Envelope(data=[_key_out(key, desk.now) for key in keys])


@router.post("/admin/clients/{client_id}/keys/show")
async def show_key(caller: Admin, desk: DeskDep, client_id: str) -> Envelope[PublicKeyOut]:
    """The public key for the issuer. Whoever has it can be any user of the client, so a look is noted in the audit."""
    async with desk.change(caller, client_id) as session:
        key = await client_keys.show_key(session, caller.actor, client_id, desk.now)
    return Envelope(data=_public_key_out(key, desk.now))


@router.post("/admin/clients/{client_id}/keys/rotate")
async def rotate_key(
    caller: Admin, desk: DeskDep, client_id: str, body: RotateIn | None = None
) -> Envelope[PublicKeyOut]:
    """A new key; the old one stays good for `overlap_days`, so that the issuer can change over. 409 while an older one
    is still good."""
    body = body or RotateIn()
    days = body.overlap_days
    overlap = desk.settings.auth.key_overlap if days is None else timedelta(days=days)
    rotation = Rotation(overlap, force=body.force)
    async with desk.look(caller, client_id) as session:
        await client_keys.check_rotation(session, client_id, rotation, desk.now)
    key = await desk.draw_key()
    async with desk.change(caller, client_id) as session:
        row = await client_keys.rotate_key(
            session, desk.vault, caller.actor, client_id, rotation, desk.now, key
        )
    return Envelope(data=_public_key_out(row, desk.now))


@router.post("/admin/clients/{client_id}/keys/signing")
async def add_signing_key(
    caller: Admin, desk: DeskDep, client_id: str, body: SigningKeyIn
) -> Envelope[KeyOut]:
    """Register the issuer's own public key, for signed tokens."""
    async with desk.change(caller, client_id) as session:
        key = await client_keys.add_signing_key(
            session, caller.actor, client_id, body.public_key, desk.now, body.kid
        )
    return Envelope(data=_key_out(key, desk.now))


@router.post("/admin/clients/{client_id}/keys/pkcs1v15")
async def allow_pkcs1v15(caller: Operator, desk: DeskDep, client_id: str) -> Envelope[PublicKeyOut]:
    """For an issuer that cannot do OAEP: a key pair for PKCS#1 v1.5 and nothing else."""
    async with desk.look(caller, client_id) as session:
        await client_keys.check_no_pkcs1v15(session, client_id, desk.now)
    key = await desk.draw_key()
    async with desk.change(caller, client_id) as session:
        row = await client_keys.allow_pkcs1v15(session, desk.vault, caller.actor, client_id, desk.now, key)
    return Envelope(data=_public_key_out(row, desk.now))


@router.delete("/admin/clients/{client_id}/keys/{kid}")
async def revoke_key(caller: Admin, desk: DeskDep, client_id: str, kid: str) -> Envelope[KeyOut]:
    """End a key now, and every session of the client."""
    async with desk.change(caller, client_id) as session:
        key = await client_keys.revoke_key(session, caller.actor, client_id, kid, desk.now)
    return Envelope(data=_key_out(key, desk.now))


# ── users and sessions ────────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/admin/clients/{client_id}/users")
async def list_users(
    caller: Admin, desk: DeskDep, client_id: str, paging: Paging
) -> Envelope[Page[ManagedUserOut]]:
    """The people whom a client vouched for, by id."""
    async with desk.look(caller, client_id) as session:
        users, total = await management.list_users(
            session, client_id, offset=paging.offset, limit=paging.page_size
        )
    items = [_user_out(user) for user in users]
    return Envelope(data=Page(items=items, total=total, page=paging.page, page_size=paging.page_size))


@router.patch("/admin/clients/{client_id}/users")
async def change_user(
    caller: Admin, desk: DeskDep, client_id: str, user_id: str, body: UserPatch
) -> Envelope[ManagedUserOut]:
    """Give `user_id` a role, or disable them, which ends their sessions, tickets and running answers. The id stands in
    the query, since it may hold what an address does not keep: `/`, `..`."""
    return Envelope(data=await _change_user(caller, desk, client_id, user_id, body))


@router.patch("/admin/clients/{client_id}/users/{user_id}")
async def change_ordinary_user(
    caller: Admin, desk: DeskDep, client_id: str, user_id: str, body: UserPatch
) -> Envelope[ManagedUserOut]:
    """The same for an id of letters, digits, `_` and `-`; take the query for every other."""
    return Envelope(data=await _change_user(caller, desk, client_id, user_id, body))


async def _change_user(
    caller: Principal, desk: Desk, client_id: str, user_id: str, patch: UserPatch
) -> ManagedUserOut:
    async with desk.change(caller, client_id) as session:
        user = await management.get_user(session, client_id, user_id)
        if patch.role is not None:
            user = await management.set_role(session, caller.actor, client_id, user_id, patch.role, desk.now)
        if patch.enabled is not None:
            user = await management.set_user_enabled(
                session, caller.actor, client_id, user_id, enabled=patch.enabled, now=desk.now
            )
    return _user_out(user)


@router.get("/admin/clients/{client_id}/sessions")
async def list_client_sessions(
    caller: Admin, desk: DeskDep, client_id: str, user_id: str | None = None
) -> Envelope[list[ManagedSessionOut]]:
    """The sessions of a client, or of one user, that are still good; the newest first."""
    async with desk.look(caller, client_id) as session:
        rows = await management.list_sessions(session, client_id, user_id, desk.settings.auth, desk.now)
    return Envelope(
        data=[
            ManagedSessionOut(
                session_id=row.id,
                user_id=row.user_id,
                origin=row.origin,
                create_time=row.created_at,
                last_use_time=row.last_used_at,
                expire_time=row.expires_at,
            )
            for row in rows
        ]
    )


@router.delete("/admin/clients/{client_id}/sessions")
async def end_client_sessions(
    caller: Admin, desk: DeskDep, client_id: str, user_id: str | None = None
) -> Envelope[CountOut]:
    """End all sessions of a client, or of one user."""
    async with desk.change(caller, client_id) as session:
        ended = await management.end_logins(session, caller.actor, client_id, user_id, desk.now)
    return Envelope(data=CountOut(count=ended))


@router.delete("/admin/clients/{client_id}/sessions/{session_id}")
async def end_client_session(
    caller: Admin, desk: DeskDep, client_id: str, session_id: str
) -> Envelope[CountOut]:
    """End one session."""
    async with desk.change(caller, client_id) as session:
        ended = await management.end_logins(session, caller.actor, client_id, None, desk.now, session_id)
    return Envelope(data=CountOut(count=ended))


# ── api keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@router.get("/admin/clients/{client_id}/api-keys")
async def list_api_keys(caller: Admin, desk: DeskDep, client_id: str) -> Envelope[list[APIKeyOut]]:
    """A client's api keys, without their secrets, which nobody knows."""
    async with desk.look(caller, client_id) as session:
        keys = await management.list_api_keys(session, client_id)
    return Envelope(data=[_api_key_out(key) for key in keys])


@router.post("/admin/clients/{client_id}/api-keys")
async def add_api_key(caller: Admin, desk: DeskDep, client_id: str, body: APIKeyIn) -> Envelope[SecretOut]:
    """The secret is shown this once. Only an operator makes operators."""
    if Scope.ADMIN in body.scopes and not is_operator(caller):
        raise Forbidden(
            Text("没有权限：只有运维可以授予 admin", "not allowed: only an operator gives the scope admin")
        )
    async with desk.change(caller, client_id) as session:
        secret = await service.add_api_key(
            session, desk.vault, client_id, body.scopes, desk.now, caller.actor
        )
    return Envelope(data=SecretOut(secret=secret))


@router.delete("/admin/clients/{client_id}/api-keys/{key_id}")
async def revoke_api_key(caller: Admin, desk: DeskDep, client_id: str, key_id: str) -> Envelope[APIKeyOut]:
    """End an api key, and the answers that run for it."""
    async with desk.change(caller, client_id) as session:
        key = await management.revoke_api_key(session, caller.actor, key_id, desk.now, client_id)
    return Envelope(data=_api_key_out(key))


# ── tokens and audit ──────────────────────────────────────────────────────────────────────────────────────────────────


@router.post("/admin/tokens/inspect")
async def inspect_token(
    _caller: Operator, desk: DeskDep, language: Lang, body: TokenIn
) -> Envelope[list[StepOut]]:
    """Say step by step what a token is and why it would be refused. Nothing is counted or changed."""
    async with desk.database.read() as session:
        steps = await inspection.inspect_token(
            session,
            desk.vault,
            desk.runtime.lanes,
            body.token,
            desk.settings.auth,
            desk.now,
            desk.authenticator.skew,
        )
    return Envelope(
        data=[
            StepOut(step=step.name, passed=step.passed, found=step.found.in_language(language))
            for step in steps
        ]
    )


@router.get("/admin/audit")
async def list_audit(
    caller: Admin, desk: DeskDep, paging: Paging, client_id: str | None = None
) -> Envelope[list[AuditOut]]:
    """What was changed about identities, the newest first; an operator sees all clients."""
    wanted = client_id if is_operator(caller) else _only_own(caller, client_id)
    async with desk.database.read() as session:
        rows = await management.list_audit(session, wanted, offset=paging.offset, limit=paging.page_size)
    return Envelope(
        data=[
            AuditOut(
                time=row.at,
                actor=row.actor,
                action=row.action,
                client_id=row.client_id,
                target=row.target,
                detail=row.detail,
            )
            for row in rows
        ]
    )


def _only_own(caller: Principal, client_id: str | None) -> str:
    if client_id not in (None, caller.client_id):
        raise NotFound(Text("未找到该客户端", "client not found"))
    return caller.client_id


# ── shapes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _client_out(client: Client) -> ClientOut:
    return ClientOut(
        client_id=client.id,
        description=client.description,
        enabled=client.enabled,
        policy=client.policy,
        frame_ancestors=client.frame_ancestors.split(),
        max_blocks=client.max_blocks,
        pct_fields=client.pct_fields,
        networks=client.networks.split(),
        create_time=client.created_at,
    )


def _key_out(key: ClientKey, now: datetime) -> KeyOut:
    state = client_keys.state_of(key, now)
    return KeyOut(
        kid=key.kid, kind=key.kind, state=state, create_time=key.created_at, retire_time=key.retire_at
    )


def _public_key_out(key: ClientKey, now: datetime) -> PublicKeyOut:
    return PublicKeyOut(**_key_out(key, now).model_dump(), public_key=key.public_pem)


def _user_out(user: User) -> ManagedUserOut:
    return ManagedUserOut(
        user_id=user.id,
        username=user.username,
        role=user.role,
        enabled=user.enabled,
        create_time=user.created_at,
    )


def _api_key_out(key: APIKey) -> APIKeyOut:
    return APIKeyOut(
        key_id=key.id,
        last4=key.last4,
        scopes=key.scopes,
        enabled=key.enabled,
        create_time=key.created_at,
    )
