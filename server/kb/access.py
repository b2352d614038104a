"""Which knowledge bases a caller may read and change."""

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.principal import Principal
from server.core.errors import BadKBName, Conflict, Forbidden, KBNotFound, TooManyRequests
from server.core.i18n import Text
from server.core.settings import Settings
from server.kb import document_repository, job_repository, rebuild_repository, repository
from server.kb.files import check_kb_name
from server.kb.models import Document, KnowledgeBase

# Files that a conversation may have.
MAX_ATTACHED = 10

FOREIGN = Text(
    "这是其他客户端共享的知识库，只能查阅",
    "this knowledge base is shared by another client; you may only read it",
)


async def visible_kb(session: AsyncSession, caller: Principal, name: str) -> KnowledgeBase:
    """One of the caller's client or a shared one. Raises KBNotFound."""
    # PostgreSQL has no word for a NUL, and no knowledge base has one in its name.
    kb = None if "\0" in name else await repository.find_kb(session, caller.client_id, name)
    if kb is None:
        raise _not_found(name)
    return kb


def _not_found(name: str) -> KBNotFound:
    """A name that none can have is not there either; chat2llm told them apart."""
    error = KBNotFound(name)
    try:
        check_kb_name(name)
    except BadKBName as bad:
        error.old_code = bad.old_code
    return error


async def own_kb(session: AsyncSession, caller: Principal, name: str) -> KnowledgeBase:
    """One that the caller may change. Raises KBNotFound, Forbidden."""
    kb = await visible_kb(session, caller, name)
    if kb.client_id != caller.client_id:
        raise Forbidden(FOREIGN)
    return kb


async def lock_own_kb(session: AsyncSession, caller: Principal, name: str) -> KnowledgeBase:
    """The same for whoever writes: nobody else changes or deletes it before this transaction ends."""
    # The client before its knowledge bases, everywhere: on MariaDB a new name of one holds the client's row as well.
    await repository.hold_client(session, caller.client_id)
    kb = await own_kb(session, caller, name)
    found_name = kb.name
    locked = await rebuild_repository.lock_kb(session, kb.id)
    if locked is None or locked.name != found_name:  # deleted or renamed a moment ago
        raise KBNotFound(name)
    return locked


async def check_queue(session: AsyncSession, client_id: str, settings: Settings) -> None:
    """Raises TooManyRequests when too many documents wait for the worker, of this client or of all."""
    limits = settings.ingest
    if await job_repository.count_waiting_jobs(session) >= limits.max_queue:
        raise TooManyRequests(
            Text("排队处理的文件太多，请稍后再上传", "too many documents are waiting; upload later"),
            retry_after=60,
        )
    if await job_repository.count_waiting_jobs(session, client_id) >= limits.max_queue_per_client:
        raise TooManyRequests(
            Text(
                f"您已有 {limits.max_queue_per_client} 个文件在排队处理，等处理掉一些再上传",
                f"{limits.max_queue_per_client} of your documents are waiting; upload more when some are done",
            ),
            retry_after=60,
        )


async def check_room(session: AsyncSession, document: Document) -> None:
    """Locks the knowledge base of a conversation. Raises Conflict when its files are all it may have, and this is another."""
    await rebuild_repository.lock_kb(session, document.kb_id)
    if await document_repository.count_files(session, document.kb_id, but=document.name_key) >= MAX_ATTACHED:
        raise Conflict(
            Text(
                f"一个会话最多附加 {MAX_ATTACHED} 个文件，请先移除不用的",
                f"a conversation takes at most {MAX_ATTACHED} files; remove one first",
            ),
            code="too_many_files",
        )
