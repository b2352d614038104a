"""A knowledge base on its way in. Nobody sees anything of it before it is whole: its row is `importing` until the last commit.

Vectors are taken as they are when the embedding model here is the one that they are of; or else every document waits for the worker,
with its original, and with what people did to its passages.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any, BinaryIO

import anyio
from pydantic import ValidationError

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
    chunk_repository,
    job_repository,
    lexical_repository,
    package_repository,
    rebuild_repository,
    repository,
)
from server.kb.access import check_queue
from server.kb.anchors import searched_text
from server.kb.chunk_methods.whole import MAX_WHOLE
from server.kb.chunking import ChunkingWish, choose_chunking
from server.kb.custom import MAX_CHARS, MAX_PASSAGES
from server.kb.custom import Passages as CustomPassages
from server.kb.embedders import Embedders
from server.kb.embedding import content_of
from server.kb.file_types import check_type
from server.kb.files import FileStore, check_kb_name, name_key
from server.kb.label_schemas import LabelFields
from server.kb.lexicon import DocumentTerms, analyse
from server.kb.models import (
    PLAIN,
    Document,
    DocumentState,
    KnowledgeBase,
    Origin,
    Question,
    Slot,
    fingerprint_of,
)
from server.kb.package_format import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    Extra,
    PackedDocument,
    bad_package,
    chunks_name,
    content_name,
    custom_name,
    is_default,
    more_name,
    unpack_columns,
    vectors_name,
)
from server.kb.package_notes import check_notes
from server.kb.package_reading import Package, suffix_of
from server.kb.schemas import ChunkingFields
from server.kb.segments import write_segment
from server.kb.splitters import Passage
from server.kb.tuning_schemas import CalibrationOut, UpdateRetrieval

log = logging.getLogger(__name__)

# Without progress for so long, an import is taken for dead.
_PATIENCE = timedelta(hours=1)
# Passages and documents that are written in one commit.
_CHUNKS_AT_ONCE, _DOCUMENTS_AT_ONCE = 2000, 100
_MAX_ANCHOR_KEYS, _MAX_ANCHOR = 64, 20_000
# Characters of a passage: as many as people may write, or a file that is kept whole has, and the title that it is told to be under.
_MAX_TEXT = max(MAX_CHARS, MAX_WHOLE) + 1000


@dataclass(frozen=True, slots=True)
class Imported:
    """`waiting`: names of the documents that the worker is to read, by id."""

    kb: KnowledgeBase
    documents: int
    embedded_again: bool
    waiting: dict[str, str]


@dataclass(slots=True)
class _Portion:
    """What is written in one commit."""

    documents: list[Document] = field(default_factory=list)
    chunks: list[dict[str, Any]] = field(default_factory=list)
    terms: list[DocumentTerms] = field(default_factory=list)
    custom: dict[str, CustomPassages] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        return len(self.chunks) >= _CHUNKS_AT_ONCE or len(self.documents) >= _DOCUMENTS_AT_ONCE


class Imports:
    """Takes packages in, for callers who may change knowledge bases."""

    def __init__(
        self, database: Database, files: FileStore, embedders: Embedders, runtime: Runtime, settings: Settings
    ) -> None:
        self._database, self._files, self._embedders, self._settings = database, files, embedders, settings
        self._lanes, self._clock = runtime.lanes, runtime.clock
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
            taken = await _Taking(self, package, kb, caller, fits=fits).run()
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
            chunking=None if packed.chunking is None else _wish(packed.chunking, "chunking").to_json(),
            retrieval=_retrieval(packed.retrieval, fits=fits),
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
                raise bad_package(f"{name} 有误", f"{name}: {_first(error)}") from None
        return checked

    async def _show(
        self,
        caller: Principal,
        kb: KnowledgeBase,
        name: str,
        taken: "_Taking",
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


class _Taking:
    """One package on its way into one knowledge base."""

    def __init__(
        self, imports: Imports, package: Package, kb: KnowledgeBase, caller: Principal, *, fits: bool
    ) -> None:
        self._database, self._files, self._settings = imports._database, imports._files, imports._settings
        self._lanes, self._clock = imports._lanes, imports._clock
        self.package, self._kb, self._fits = package, kb, fits
        # Ids of users say nothing at another client: there, editors alone see what was not for everybody.
        self._is_at_home = package.manifest.client_id == caller.client_id
        self.waiting: list[Document] = []
        self.embeds_again = False

    async def run(self) -> "_Taking":
        live = {name_key(one.file_name) for one in self.package.documents if one.slot == "live"}
        portion = _Portion()
        for packed in self.package.documents:
            slot = Slot.NEXT if packed.slot == "next" and name_key(packed.file_name) in live else Slot.LIVE
            await self._take(packed, slot, portion)
            if portion.is_full:
                await self._write(portion)
                portion = _Portion()
        await self._write(portion)
        return self

    async def _take(self, packed: PackedDocument, slot: Slot, portion: _Portion) -> None:
        document = self._new_document(packed, slot)
        await self._lanes.run("io", self._extract, packed, document)
        rows: list[dict[str, Any]] = []
        if packed.chunks is not None:
            rows = await self._lanes.run("io", self._read_rows, packed, document)
        if packed.custom is not None:
            portion.custom[document.id] = await self._lanes.run("io", self._read_custom, packed)
            document.custom_docs = True
        if packed.state == "stored":
            document.state = DocumentState.STORED
        elif packed.vectors is not None and self._fits and slot is Slot.LIVE:
            await self._lanes.run("io", self._take_vectors, packed, document, rows)
            portion.terms.append(await self._lanes.run("io", self._analyse, document, rows))
            document.state, document.ready_at = DocumentState.READY, packed.ready_at or self._clock.now()
            portion.chunks += rows
        else:
            self.embeds_again = self.embeds_again or packed.state == "ready"
            self.waiting.append(document)
            if not all(is_default(row, CHUNK_COLUMNS) for row in rows):
                portion.chunks += rows  # what people did is carried over from them
                document.disabled_count = sum(not row["enabled"] for row in rows)
        portion.documents.append(document)

    def _new_document(self, packed: PackedDocument, slot: Slot) -> Document:
        name = packed.file_name
        try:
            labels = LabelFields.model_validate(
                {
                    "tags": packed.tags or [],
                    "properties": packed.properties or {},
                    "visible_to": packed.visible_to,
                }
            )
            columns = check_notes(unpack_columns(packed.columns, DOCUMENT_COLUMNS))
        except ValueError as error:
            raise bad_package(
                f"{name} 的说明有误", f"what is said of {name} cannot be: {_first(error)}"
            ) from None
        visible_to = labels.visible_to
        if visible_to is not None and not self._is_at_home:
            visible_to = []
        wish = _wish(packed.chunking, name)
        return Document(
            **columns,
            id=new_id("doc"),
            kb_id=self._kb.id,
            file_name=name,
            name_key=name_key(name),
            slot=slot,
            suffix=suffix_of(name),
            size=packed.content.size,
            sha256=packed.content.sha256,
            state=DocumentState.WAITING,
            chunking=choose_chunking(wish, None, self._settings.kb).to_json(),
            custom_docs=False,
            tags=labels.tags or None,
            properties=labels.properties or None,
            visible_to=visible_to,
            char_count=0,
            chunk_count=0,
            disabled_count=0,
            created_at=packed.created_at,
        )

    def _extract(self, packed: PackedDocument, document: Document) -> None:
        target = self._files.content_path(self._kb.id, document.id, document.suffix)
        self.package.extract(content_name(packed.number, document.suffix), packed.content, target)
        try:
            check_type(target, document.suffix, document.size)
        except AppError as error:
            name = document.file_name
            raise bad_package(f"{name}：{error.text.zh}", f"{name}: {error.text.en}") from error

    def _read_rows(self, packed: PackedDocument, document: Document) -> list[dict[str, Any]]:
        assert packed.chunks is not None
        name = chunks_name(packed.number)
        rows, chars = [], 0
        for position, given in enumerate(self.package.rows(name, packed.chunks)):
            try:
                row = _chunk(given, position)
            except ValueError as error:
                raise bad_package(
                    f"{name} 第 {position + 1} 行有误", f"{name}:{position + 1}: {error}"
                ) from None
            passage = Passage(row["text"], row["anchor"])
            row |= {"kb_id": self._kb.id, "document_id": document.id, "tokens": None}
            row["content_hash"] = content_of(document.file_name, passage, is_plain=self._kb.is_plain).hash
            chars += len(row["text"])
            rows.append(row)
        # Passages repeat the ends of those before them.
        if not any(row["enabled"] for row in rows) or chars > 4 * self._settings.ingest.max_chars:
            raise bad_package(
                f"{name} 没有可检索的段落，或过长", f"{name} has no passage that is searched, or is too long"
            )
        return rows

    def _read_custom(self, packed: PackedDocument) -> CustomPassages:
        assert packed.custom is not None
        name = custom_name(packed.number)
        given = self.package.json(name, packed.custom)
        passages = given.get("passages") if isinstance(given, dict) else None
        if not isinstance(passages, list) or not 1 <= len(passages) <= MAX_PASSAGES:
            raise bad_package(f"{name} 有误", f"{name} cannot be read")
        found = []
        for passage in passages:
            try:
                text, anchor = _text(passage), _anchor(passage)
            except ValueError as error:
                raise bad_package(f"{name} 有误", f"{name}: {error}") from None
            if len(text) > MAX_CHARS:
                raise bad_package(f"{name} 有误", f"{name}: a passage is too long")
            found.append({"text": text, "anchor": anchor})
        return found

    def _take_vectors(
        self, packed: PackedDocument, document: Document, rows: Sequence[dict[str, Any]]
    ) -> None:
        assert packed.vectors is not None
        count = sum(row["enabled"] for row in rows)
        dimension = int(self._kb.fingerprint["dimension"])
        matrix = self.package.vectors(vectors_name(packed.number), packed.vectors, count, dimension)
        document.segment = f"{document.id}.{new_id('s')[-8:]}.npy"
        path = self._files.segment_path(self._kb.id, self._kb.embed_model, document.segment)
        document.segment_sha256 = write_segment(path, matrix)

    def _analyse(self, document: Document, rows: Sequence[dict[str, Any]]) -> DocumentTerms:
        """What its passages are found by, and how many they are. Blocks."""
        searched = [row for row in rows if row["enabled"]]
        contents = [searched_text(document.file_name, row["anchor"], row["text"]) for row in searched]
        tokens, terms = analyse(self._kb.id, document.id, contents)
        for row, found in zip(searched, tokens, strict=True):
            row["tokens"] = found
        document.chunk_count, document.disabled_count = len(searched), len(rows) - len(searched)
        document.char_count = sum(len(row["text"]) for row in searched)
        return terms

    async def _write(self, portion: _Portion) -> None:
        async with self._database.write() as session:
            row = await rebuild_repository.lock_kb(session, self._kb.id)
            if row is None:
                raise Overtaken
            row.created_at = self._clock.now()  # a sign of life
            session.add_all(portion.documents)
            await session.flush()
            for document_id, passages in portion.custom.items():
                await repository.set_custom_passages(session, document_id, passages)
            await chunk_repository.add_chunks(session, portion.chunks)
            for terms in portion.terms:
                await lexical_repository.set_terms(session, terms)


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


def _chunk(given: dict[str, Any], position: int) -> dict[str, Any]:
    if given.get("position") != position:
        raise ValueError("it is not in order")
    row = {"position": position, "text": _text(given), "anchor": _anchor(given)}
    row |= unpack_columns(given, CHUNK_COLUMNS)
    if row.get("origin", Origin.FILE) not in list(Origin):
        raise ValueError("nobody knows its origin")
    # With a question before it.
    if len(str(row["original"] or "")) > _MAX_TEXT + _MAX_ANCHOR:
        raise ValueError("what the file said there is too long")
    return row


def _text(given: Any) -> str:
    text = given.get("text") if isinstance(given, dict) else None
    if not isinstance(text, str) or not text.strip():
        raise ValueError("there is no text")
    if len(text) > _MAX_TEXT:
        raise ValueError("it is too long")
    return text


def _anchor(given: dict[str, Any]) -> dict[str, Any]:
    anchor = given.get("anchor")
    if not isinstance(anchor, dict) or len(anchor) > _MAX_ANCHOR_KEYS:
        raise ValueError("it does not say where it stands")
    if not all(isinstance(value, str | int | float) for value in anchor.values()):
        raise ValueError("its place is strange")
    if sum(len(str(key)) + len(str(value)) for key, value in anchor.items()) > _MAX_ANCHOR:
        raise ValueError("its place is too long")
    return anchor


def _wish(given: dict[str, Any], name: str) -> ChunkingWish:
    try:
        checked = ChunkingFields.model_validate(given)
    except ValidationError as error:
        raise bad_package(f"{name} 的分块方式有误", f"{name} cannot be cut so: {_first(error)}") from None
    return ChunkingWish(**{one.name: getattr(checked, one.name) for one in fields(ChunkingWish)})


def _retrieval(given: dict[str, Any] | None, *, fits: bool) -> dict[str, Any] | None:
    """How it is searched. What was measured holds for the same model only."""
    if not given:
        return None
    measured = given.get("calibration")
    try:
        said = {key: value for key, value in given.items() if key != "calibration"}
        checked = UpdateRetrieval.model_validate(said | {"knowledge_base_name": "x"})
        kept = checked.model_dump(exclude_none=True, exclude={"knowledge_base_name"})
        if measured is not None and fits:
            kept["calibration"] = CalibrationOut.model_validate(measured).model_dump()
    except ValidationError as error:
        raise bad_package("检索设置有误", f"it cannot be searched so: {_first(error)}") from None
    return kept or None


def _first(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg']}"
    return str(error)
