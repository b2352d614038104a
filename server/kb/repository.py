"""SQL about knowledge bases. Functions take the session first and never commit."""

from collections.abc import Iterable, Sequence

from sqlalchemy import and_, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.models import Client
from server.db.batches import batches
from server.db.unique import put_unless_taken
from server.kb.models import (
    Document,
    KnowledgeBase,
    Slot,
)
from server.kb.visibility import Viewer, visible

# All but those of files that are attached to conversations (attachments.py), and what is still being imported.
SHOWN = and_(KnowledgeBase.session_id.is_(None), ~KnowledgeBase.importing)


async def hold_client(session: AsyncSession, client_id: str) -> None:
    """The client stays; its rows may be added to meanwhile."""
    query = select(Client.id).where(Client.id == client_id)
    await session.scalar(query.with_for_update(read=True, key_share=True))


async def find_kb(session: AsyncSession, client_id: str, name: str) -> KnowledgeBase | None:
    """The client's own knowledge base of this name, or else a shared one."""
    query = select(KnowledgeBase).where(
        KnowledgeBase.name == name,
        or_(KnowledgeBase.client_id == client_id, KnowledgeBase.shared),
        SHOWN,
    )
    found = list(await session.scalars(query.order_by(KnowledgeBase.created_at)))
    return next((kb for kb in found if kb.client_id == client_id), found[0] if found else None)


async def find_kbs_named(
    session: AsyncSession, client_id: str, names: Iterable[str]
) -> dict[str, KnowledgeBase]:
    """As `find_kb`, of many names at once."""
    found: dict[str, KnowledgeBase] = {}
    for batch in batches(sorted(names)):
        query = select(KnowledgeBase).where(
            KnowledgeBase.name.in_(batch), or_(KnowledgeBase.client_id == client_id, KnowledgeBase.shared)
        )
        for kb in await session.scalars(query.order_by(KnowledgeBase.created_at)):
            if kb.name not in found or kb.client_id == client_id:
                found[kb.name] = kb
    return found


async def hold_kbs(session: AsyncSession, ids: Iterable[str]) -> set[str]:
    """Those of these that are there, and that nobody deletes before this transaction ends."""
    held: set[str] = set()
    for batch in batches(sorted(ids)):
        query = select(KnowledgeBase.id).where(KnowledgeBase.id.in_(batch)).order_by(KnowledgeBase.id)
        held |= set(await session.scalars(query.with_for_update(read=True, key_share=True)))
    return held


async def list_kbs(session: AsyncSession, client_id: str, viewer: Viewer) -> list[tuple[KnowledgeBase, int]]:
    """What a client's readers see, own ones first, each with the number of live documents that the viewer sees."""
    is_own = KnowledgeBase.client_id == client_id
    is_seen = or_(and_(is_own, visible(viewer, client_id)), and_(~is_own, visible(viewer, None)))
    count = (
        select(func.count())
        .where(Document.kb_id == KnowledgeBase.id, Document.slot == Slot.LIVE, is_seen)
        .scalar_subquery()
    )
    query = select(KnowledgeBase, count).where(or_(is_own, KnowledgeBase.shared), SHOWN)
    rows = (await session.execute(query.order_by(KnowledgeBase.created_at))).all()
    return sorted(((kb, number) for kb, number in rows), key=lambda row: row[0].client_id != client_id)


async def find_kbs(
    session: AsyncSession, names: Sequence[str] | None, client_id: str | None
) -> list[KnowledgeBase]:
    """Those of some names (None: all) and of one client (None: of all), for an operator."""
    query = select(KnowledgeBase).where(SHOWN).order_by(KnowledgeBase.client_id, KnowledgeBase.name)
    if names is not None:
        query = query.where(KnowledgeBase.name.in_(names))
    if client_id is not None:
        query = query.where(KnowledgeBase.client_id == client_id)
    return list(await session.scalars(query))


async def add_kb(session: AsyncSession, kb: KnowledgeBase) -> bool:
    """Insert; False when the client has one of this name already."""
    return await put_unless_taken(session, kb)


async def rename_kb(session: AsyncSession, kb: KnowledgeBase, name: str) -> bool:
    """False when the client has another one of this name."""
    return await put_unless_taken(session, kb, name=name)


async def bump_generation(session: AsyncSession, kb_id: str) -> None:
    """Tell every process that search must look again. In the transaction of the change itself."""
    statement = update(KnowledgeBase).where(KnowledgeBase.id == kb_id)
    await session.execute(statement.values(generation=KnowledgeBase.generation + 1))


async def get_generation(session: AsyncSession, kb_id: str) -> int | None:
    return await session.scalar(select(KnowledgeBase.generation).where(KnowledgeBase.id == kb_id))
