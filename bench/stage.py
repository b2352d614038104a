"""A database, services and a knowledge base for a measurement, in a temporary folder."""

import functools
import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from bench.vectors import passages
from server.auth.principal import Principal, Scope
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_client
from server.core.configuration import load_settings
from server.core.settings import Settings
from server.db.session import Database
from server.db.upgrading import upgrade_schema
from server.kb import lexical_repository, repository
from server.kb.anchors import searched_text
from server.kb.lexicon import DocumentTerms, analyse
from server.kb.models import Chunk, Document, DocumentState, KnowledgeBase, Slot
from server.kb.segments import write_segment
from server.services import Services, open_services

CALLER = Principal("bench", "bench", "", frozenset(Scope))


def bench_settings(folder: Path, **given: str) -> Settings:
    """The shipped configuration over a folder of its own, silent but for warnings; `given` as in the environment."""
    return load_settings(environ={"SERVER__DATA_DIR": str(folder), "SERVER__LOG_LEVEL": "warning"} | given)


@asynccontextmanager
async def stage(**given: str) -> AsyncIterator[Services]:
    """Services over an empty store with one client."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        async with stage_in(Path(name), **given) as services:
            yield services


@asynccontextmanager
async def stage_in(folder: Path, **given: str) -> AsyncIterator[Services]:
    """The same in a folder that is kept."""
    settings = bench_settings(folder, **given)
    make_secret_file(folder / "secrets" / "master.key", secrets.token_hex(32))
    database = Database(settings.database_url, settings.database)
    await upgrade_schema(database)
    await database.close()
    async with open_services(settings) as services:
        async with services.database.write() as session:
            await add_client(
                session, services.vault, NewClient(CALLER.client_id), services.runtime.clock.now()
            )
        yield services


# Characters of GB 2312's first level: what Chinese texts are made of.
_CHARACTERS = bytes(b for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF) for b in (high, low)).decode(
    "gb2312", "ignore"
)


# Documents whose texts differ; beyond, they are said again: finding their words takes most of the time.
_DOCUMENTS = 1000


def synthetic_texts(count: int, seed: int, length: int = 200) -> list[str]:
    """Texts whose words are as unevenly frequent as those of a language (Zipf's law)."""
    words = np.random.default_rng(1).integers(0, len(_CHARACTERS), (30_000, 2))
    shares = 1 / np.arange(1, len(words) + 1)
    drawn = np.random.default_rng(seed).choice(len(words), (count, length // 2), p=shares / shares.sum())
    return ["".join(_CHARACTERS[place] for pair in words[row] for place in pair) for row in drawn]


@functools.lru_cache(_DOCUMENTS)
def _analysed(kb_id: str, seed: int, count: int) -> tuple[list[str], list[str], DocumentTerms]:
    texts = synthetic_texts(count, seed)
    tokens, counts = analyse(kb_id, "", [searched_text(f"{seed}.txt", {}, text) for text in texts])
    return texts, tokens, counts


async def fill(services: Services, name: str, chunks: int, *, per_document: int = 100) -> KnowledgeBase:
    """A knowledge base of `chunks` passages of about 200 characters with synthetic unit vectors (vectors.py).

    Rows and segments are as ingestion writes them; only parsing and embedding are left out.
    """
    kb = await services.kb.create(CALLER, name)
    for number, vectors in enumerate(passages(chunks, at_once=per_document)):
        document_id = f"doc_{name}{number}"
        path = services.files.segment_path(kb.id, kb.embed_model, f"{document_id}.1.npy")
        digest = write_segment(path, vectors)
        now = services.runtime.clock.now()
        document = Document(
            id=document_id, kb_id=kb.id, file_name=f"{number}.txt", name_key=f"{number}.txt", slot=Slot.LIVE, suffix=".txt",
            size=1, sha256="0" * 64, state=DocumentState.READY, chunking={}, chunk_count=per_document, segment=path.name,
            segment_sha256=digest, created_at=now, ready_at=now,
        )  # fmt: skip
        texts, tokens, counts = _analysed(kb.id, number % _DOCUMENTS, per_document)
        rows = [
            {"kb_id": kb.id, "document_id": document_id, "position": position, "anchor": {"page": 1}, "content_hash": "0" * 64,
             "text": text, "tokens": found}
            for position, (text, found) in enumerate(zip(texts, tokens, strict=True))
        ]  # fmt: skip
        async with services.database.write() as session:
            session.add(document)
            await session.flush()
            await session.execute(insert(Chunk), rows)
            await lexical_repository.set_terms(session, replace(counts, document_id=document_id))
    async with services.database.write() as session:
        await repository.bump_generation(session, kb.id)
    return await services.kb.get(CALLER, name)
