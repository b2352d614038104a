"""A database, services and a knowledge base for a measurement, in a temporary folder."""

import secrets
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from server.auth.principal import Principal, Scope
from server.auth.secret_files import make_secret_file
from server.auth.service import NewClient, add_client
from server.core.configuration import load_settings
from server.core.settings import Settings
from server.db.schema import upgrade_schema
from server.db.session import Database
from server.kb import repository
from server.kb.models import Chunk, Document, DocumentState, KnowledgeBase, Slot
from server.kb.segments import write_segment
from server.services import Services, open_services

CALLER = Principal("bench", "bench", "", frozenset(Scope))


def bench_settings(folder: Path) -> Settings:
    """The shipped configuration over a folder of its own, silent but for warnings."""
    return load_settings(environ={"SERVER__DATA_DIR": str(folder), "SERVER__LOG_LEVEL": "warning"})


@asynccontextmanager
async def stage() -> AsyncIterator[Services]:
    """Services over an empty store with one client."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        async with stage_in(Path(name)) as services:
            yield services


@asynccontextmanager
async def stage_in(folder: Path) -> AsyncIterator[Services]:
    """The same in a folder that is kept."""
    settings = bench_settings(folder)
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


async def fill(services: Services, name: str, chunks: int, *, per_document: int = 100) -> KnowledgeBase:
    """A knowledge base of `chunks` passages of about 200 characters with synthetic unit vectors.

    Rows and segments are as ingestion writes them; only parsing and embedding are left out.
    """
    kb = await services.kb.create(CALLER, name)
    rng = np.random.default_rng(0)
    dimension = int(kb.fingerprint["dimension"])
    for number in range(chunks // per_document):
        vectors = rng.normal(size=(per_document, dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        document_id = f"doc_{name}{number}"
        path = services.files.segment_path(kb.id, kb.embed_model, f"{document_id}.1.npy")
        digest = write_segment(path, vectors)
        now = services.runtime.clock.now()
        document = Document(
            id=document_id, kb_id=kb.id, file_name=f"{number}.txt", name_key=f"{number}.txt", slot=Slot.LIVE, suffix=".txt",
            size=1, sha256="0" * 64, state=DocumentState.READY, chunking={}, chunk_count=per_document, segment=path.name,
            segment_sha256=digest, created_at=now, ready_at=now,
        )  # fmt: skip
        rows = [
            {"kb_id": kb.id, "document_id": document_id, "position": position, "anchor": {"page": 1}, "content_hash": "0" * 64,
             "text": f"第{number}号文件第{position}条规定：" + "员工应当按照本条的要求办理相关手续，并在规定的时间内完成。" * 6}
            for position in range(per_document)
        ]  # fmt: skip
        async with services.database.write() as session:
            session.add(document)
            await session.flush()
            await session.execute(insert(Chunk), rows)
    async with services.database.write() as session:
        await repository.bump_generation(session, kb.id)
    return await services.kb.get(CALLER, name)
