"""A knowledge base on its way in. Nobody sees anything of it before it is whole: its row is `importing` until the last commit.

Vectors are taken as they are when the embedding model here is the one that they are of; or else every document waits for the worker,
with its original, and with what people did to its passages.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, BinaryIO

import anyio

from embeddings import Embedder, Fingerprint
from server.auth.principal import Principal
from server.core.clock import Clock
from server.core.errors import AppError, EmbeddingUnavailable, KBExists, ModelNotFound, Overtaken
from server.core.ids import new_id
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.core.threads import Lanes
from server.db.session import Database
from server.kb import (
    job_repository,
    package_repository,
    rebuild_repository,
    repository,
)
from server.kb.access import check_queue
from server.kb.embedders import Embedders
from server.kb.files import FileStore, check_kb_name
from server.kb.models import (
    PLAIN,
    KnowledgeBase,
    Question,
    fingerprint_of,
)
from server.kb.package_checks import check_retrieval, check_wish, first_fault
from server.kb.package_format import (
    Extra,
    bad_package,
    more_name,
)
from server.kb.package_reading import Package
from server.kb.package_taking import Destination, Taking

log = logging.getLogger(__name__)

# Without progress for so long, an import is taken for dead.
_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Imported:
    """`waiting`: names of the documents that the worker is to read, by id."""

    kb: KnowledgeBase
    documents: int
    embedded_again: bool
    waiting: dict[str, str]


class Imports:
    """Takes packages in, for callers who may change knowledge bases."""

    def __init__(
        self, database: Database, files: FileStore, embedders: Embedders, runtime: Runtime, settings: Settings
    ) -> None:
        self._database, self._files, self._embedders, self._settings = database, files, embedders, settings
        self._runtime, self._lanes, self._clock = runtime, runtime.lanes, runtime.clock
        self.extras: list[Extra] = []

    async def take(self, caller: Principal, file: BinaryIO, name: str | None = None) -> Imported:
        """Make a knowledge base of a package. Raises Invalid (`bad_package`), TooLarge, KBExists, BadKBName, StorageFull,
        TooManyRequests, EmbeddingUnavailable."""
        kb_settings = self._settings.kb
        package = await self._lanes.run(
            "io", Package, file, int(kb_settings.max_package_size), int(kb_settings.max_file_size)
        )
        try:
            return await self._take(caller, package, name)
        finally:
            with anyio.CancelScope(shield=True):
                await self._lanes.run("io", package.close)

    async def _take(self, caller: Principal, package: Package, name: str | None) -> Imported:
        wanted = check_kb_name(name or package.manifest.knowledge_base.name)
        more = await self._lanes.run("io", self._check_more, package)
        embedder, fingerprint, fits = await self._choose_model(package)
        async with self._database.read() as session:
            found = await repository.find_kb(session, caller.client_id, wanted)
            if found is not None and found.client_id == caller.client_id:
                raise KBExists(wanted)
            if not fits:
                await check_queue(session, caller.client_id, self._settings)
        await self._lanes.run("io", self._files.check_room, package.size)
        kb = self._new_kb(caller, package, embedder.name, fingerprint, fits=fits)
        is_done = False
        try:
            async with self._database.write() as session:
                await repository.add_kb(session, kb)
            into = Destination(kb, fits, is_at_home=package.manifest.client_id == caller.client_id)
            taking = Taking(self._database, self._files, self._runtime, self._settings, package, into)
            taken = await taking.run()
            imported = await self._show(caller, kb, wanted, taken, more)
            is_done = True
        finally:
            if not is_done:
                with anyio.CancelScope(shield=True):
                    await _discard(self._database, self._files, self._lanes, kb.id)
        log.info(
            "knowledge base imported",
            extra={"kb": kb.id, "documents": imported.documents, "embedded_again": imported.embedded_again},
        )
        return imported

    async def _choose_model(self, package: Package) -> tuple[Embedder, Fingerprint, bool]:
        """The package's model, if it is here and the same; or else the one that its documents will be read with."""
        packed = package.manifest.model
        default = self._settings.embedding.default
        theirs = Fingerprint(
            packed.fingerprint.model, packed.fingerprint.dimension, tuple(packed.fingerprint.probe)
        )
        chosen: tuple[Embedder, Fingerprint, bool] | None = None
        for name in dict.fromkeys((packed.name, default)):
            try:
                embedder = await self._embedders.get(name)
                ours = await self._embedders.fingerprint(embedder)
            except (ModelNotFound, EmbeddingUnavailable):
                if name == default and chosen is None:
                    raise
                continue
            if ours.matches(theirs) and packed.fingerprint.spelling == PLAIN:
                return embedder, ours, True
            chosen = chosen or (embedder, ours, False)
        assert chosen is not None
        return chosen

    def _new_kb(
        self, caller: Principal, package: Package, model: str, fingerprint: Fingerprint, *, fits: bool
    ) -> KnowledgeBase:
        packed = package.manifest.knowledge_base
        kb_id = new_id("kb")
        return KnowledgeBase(
            id=kb_id,
            client_id=caller.client_id,
            name=f"importing {kb_id}",
            zh_name=packed.zh_name,
            info=packed.info,
            shared=False,
            vector_store=self._settings.vector_store.default,
            embed_model=model,
            fingerprint=fingerprint_of(fingerprint),
            generation=0,
            chunking=None if packed.chunking is None else check_wish(packed.chunking, "chunking").to_json(),
            retrieval=check_retrieval(packed.retrieval, fits=fits),
            importing=True,
            created_at=self._clock.now(),
        )

    def _check_more(self, package: Package) -> list[tuple[Extra, list[Any]]]:
        checked = []
        for extra in self.extras:
            name = more_name(extra.name)
            try:
                checked.append((extra, extra.check(package.more(extra.name))))
            except AppError as error:
                if error.code == "bad_package":
                    raise
                raise bad_package(f"{name}：{error.text.zh}", f"{name}: {error.text.en}") from error
            except ValueError as error:
                raise bad_package(f"{name} 有误", f"{name}: {first_fault(error)}") from None
        return checked

    async def _show(
        self,
        caller: Principal,
        kb: KnowledgeBase,
        name: str,
        taken: Taking,
        more: list[tuple[Extra, list[Any]]],
    ) -> Imported:
        """The commit that makes it visible."""
        async with self._database.write() as session:
            await repository.hold_client(session, caller.client_id)
            row = await rebuild_repository.lock_kb(session, kb.id)
            if row is None:
                raise Overtaken
            if not await repository.rename_kb(session, row, name):
                raise KBExists(name)
            now = self._clock.now()
            row.importing, row.created_at, row.generation = False, now, row.generation + 1
            for document in taken.waiting:
                await job_repository.add_job(session, document, now)
            session.add_all(
                Question(kb_id=kb.id, shared=False, **packed.model_dump())
                for packed in taken.package.questions
            )
            for extra, rows in more:
                await extra.add(session, kb.id, rows, now)
        waiting = {document.id: document.file_name for document in taken.waiting}
        return Imported(row, len(taken.package.documents), taken.embeds_again, waiting)


async def discard_abandoned(database: Database, files: FileStore, lanes: Lanes, clock: Clock) -> int:
    """Clear away what imports left that were killed. Returns how many."""
    async with database.read() as session:
        abandoned = await package_repository.list_abandoned(session, clock.now() - _PATIENCE)
    for kb_id in abandoned:
        await _discard(database, files, lanes, kb_id)
    return len(abandoned)


async def _discard(database: Database, files: FileStore, lanes: Lanes, kb_id: str) -> None:
    """Take away what was begun, unless the last commit has got through: whoever asked may have left just then."""
    async with database.write() as session:
        row = await session.get(KnowledgeBase, kb_id)
        if row is not None and not row.importing:
            return
        if row is not None:
            await session.delete(row)
    await lanes.run("io", files.remove_kb, kb_id)
