"""The documents of a package, one after the other: originals, passages, vectors where they fit, and some hundred rows in a commit."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from server.core.errors import AppError, Overtaken
from server.core.ids import new_id
from server.core.runtime import Runtime
from server.core.settings import Settings
from server.db.session import Database
from server.kb import chunk_repository, document_repository, lexical_repository, rebuild_repository
from server.kb.anchors import searched_text
from server.kb.chunking import choose_chunking
from server.kb.custom import MAX_CHARS, MAX_PASSAGES
from server.kb.custom import Passages as CustomPassages
from server.kb.embedding import content_of
from server.kb.file_types import check_type
from server.kb.files import FileStore, name_key
from server.kb.label_schemas import LabelFields
from server.kb.lexicon import DocumentTerms, analyse
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot
from server.kb.package_checks import check_anchor, check_chunk, check_text, check_wish, first_fault
from server.kb.package_format import (
    CHUNK_COLUMNS,
    DOCUMENT_COLUMNS,
    PackedDocument,
    bad_package,
    chunks_name,
    content_name,
    custom_name,
    is_default,
    unpack_columns,
    vectors_name,
)
from server.kb.package_notes import check_notes
from server.kb.package_reading import Package, suffix_of
from server.kb.segments import write_segment
from server.kb.splitters import Passage

# Passages and documents that are written in one commit.
_CHUNKS_AT_ONCE, _DOCUMENTS_AT_ONCE = 2000, 100


@dataclass(frozen=True, slots=True)
class Destination:
    """`fits`: the package's vectors are of the model that the knowledge base has here. `is_at_home`: it comes from the same client;
    at another, ids of users say nothing, and editors alone see what was not for everybody."""

    kb: KnowledgeBase
    fits: bool
    is_at_home: bool


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


class Taking:
    """One package on its way into one knowledge base."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        runtime: Runtime,
        settings: Settings,
        package: Package,
        into: Destination,
    ) -> None:
        self._database, self._files, self._settings = database, files, settings
        self._lanes, self._clock = runtime.lanes, runtime.clock
        self.package, self._into, self._kb = package, into, into.kb
        self.waiting: list[Document] = []
        self.embeds_again = False

    async def run(self) -> Self:
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
        elif packed.vectors is not None and self._into.fits and slot is Slot.LIVE:
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
                f"{name} 的说明有误", f"what is said of {name} cannot be: {first_fault(error)}"
            ) from None
        visible_to = labels.visible_to
        if visible_to is not None and not self._into.is_at_home:
            visible_to = []
        wish = check_wish(packed.chunking, name)
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
                row = check_chunk(given, position)
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
                text, anchor = check_text(passage), check_anchor(passage)
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
                await document_repository.set_custom_passages(session, document_id, passages)
            await chunk_repository.add_chunks(session, portion.chunks)
            for terms in portion.terms:
                await lexical_repository.set_terms(session, terms)
