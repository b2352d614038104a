"""Documents that cannot be found by words yet: of a database from before there was such an index, or indexed by other rules.

A worker that has nothing else to do takes them, one after the other. Until then they are found by their meaning.
"""

import logging
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth.audit import audit
from server.auth.management import get_client
from server.core.errors import KBNotFound
from server.core.runtime import Runtime
from server.db.session import Database
from server.kb import chunk_repository, lexical_repository, repository
from server.kb.anchors import searched_text
from server.kb.lexicon import analyse

log = logging.getLogger(__name__)


class WordIndexing:
    """Brings the text index up to date."""

    def __init__(self, database: Database, runtime: Runtime) -> None:
        self._database, self._lanes = database, runtime.lanes

    async def step(self) -> bool:
        """Index one document; False when all are."""
        async with self._database.read() as session:
            document = await lexical_repository.find_unindexed(session)
            if document is None:
                return False
            rows = await chunk_repository.list_chunks(session, document.id)
        chunks = [row for row in rows if row.enabled]
        contents = [searched_text(document.file_name, chunk.anchor, chunk.text) for chunk in chunks]
        tokens, counts = await self._lanes.run("io", analyse, document.kb_id, document.id, contents)
        async with self._database.write() as session:
            # First, as it locks the knowledge base, like every other change of what is searched.
            await repository.bump_generation(session, document.kb_id)
            if await lexical_repository.is_as_read(session, document):
                by_chunk = {chunk.id: found for chunk, found in zip(chunks, tokens, strict=True)}
                await lexical_repository.set_tokens(session, by_chunk)
                await lexical_repository.set_terms(session, counts)
        log.info("document indexed", extra={"document": document.id, "kb": document.kb_id})
        return True


async def begin_again(session: AsyncSession, actor: str, client_id: str, name: str, now: datetime) -> None:
    """Have a knowledge base indexed from its passages anew. Raises ClientNotFound, KBNotFound."""
    await get_client(session, client_id)
    kb = await repository.find_kb(session, client_id, name)
    if kb is None or kb.client_id != client_id:
        raise KBNotFound(name)
    await repository.bump_generation(session, kb.id)
    await lexical_repository.forget_terms(session, kb.id)
    audit(session, now, actor, "kb.reindex", client_id, name)
