"""`kb verify` finds whatever does not agree, and `kb repair` mends what can be mended without loss."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, select, text, update

from server.kb.faults import Finding
from server.kb.mending import Mender
from server.kb.models import Chunk, Document, DocumentTerms, Job
from server.kb.reconcile import Reconciling
from server.kb.segments import write_segment
from server.kb.verify import Verifier
from server.services import Services
from tests.support.api import Caller

YOUNG = timedelta(0)
LEAVE, SICK = "年假五天，连续工作满十年的十天。", "病假凭医院证明，最长三个月。"


async def find(services: Services, *, quick: bool = False, grace: timedelta = YOUNG) -> list[Finding]:
    verifier = Verifier(services.database, services.files, services.runtime)
    return [one async for one in verifier.run(quick=quick, grace=grace)]


async def repair(services: Services) -> dict[str, bool]:
    mender = Mender(services.database, services.files, services.runtime)
    told = await mender.mend(await find(services), grace=YOUNG)
    return {one.code: is_done for one, is_done in told}


@pytest.fixture
async def two(editor: Caller) -> Caller:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": LEAVE.encode(), "b.txt": SICK.encode()})
    return editor


def _file(services: Services, kind: str, number: int = 0) -> Path:
    return sorted(services.settings.server.data_dir.glob(f"kb_*/{kind}"))[number]


async def _owner(services: Services, path: Path) -> str:
    """The name of the document that a file is of."""
    async with services.database.read() as session:
        document = await session.get(Document, path.name.partition(".")[0])
    assert document is not None
    return document.file_name


async def test_what_is_sound_is_sound(services: Services, two: Caller) -> None:
    await two.upload("kb", {"c.txt": b"waits"})
    await two.upload("kb", {"d.txt": b"only kept"}, to_vector_store=False)
    await two.upload("kb", {"e.pdf": b"%PDF-1.4 broken"})
    assert two.worker is not None
    assert await find(services) == []
    await two.worker.run_until_idle()
    assert await find(services) == []


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("what", "code", "is_seen_at_a_glance"),
    [
        (Path.unlink, "segment_missing", True),
        (_flip, "segment_damaged", False),
        (lambda path: path.write_bytes(b"short"), "segment_damaged", False),
    ],
)
async def test_lost_vectors_are_made_of_the_passages(
    services: Services, two: Caller, what: Callable[[Path], object], code: str, is_seen_at_a_glance: bool
) -> None:
    """Without the file, even: what people did with the passages is kept."""
    path = _file(services, "vector_store/*/*.npy")
    what(path)
    name = await _owner(services, path)
    (one,) = await find(services)
    assert (one.code, one.file, one.kb) == (code, name, "kb")
    assert bool(await find(services, quick=True)) == is_seen_at_a_glance
    before = await _chunks(services)
    _file(services, f"content/{path.name.partition('.')[0]}*").unlink()
    assert await repair(services) == {"content_missing": False, code: True}
    assert two.worker is not None
    await two.worker.run_until_idle()
    assert [one.code for one in await find(services)] == ["content_missing"], "that is for people"
    assert await _chunks(services) == before
    assert {hit["metadata"]["source"] for hit in await two.search("kb", "年假 病假", top_k=5)} == {
        "a.txt",
        "b.txt",
    }


async def _chunks(services: Services) -> list[tuple]:
    async with services.database.read() as session:
        rows = await session.execute(select(Chunk.text, Chunk.position, Chunk.tokens).order_by(Chunk.text))
        return [tuple(row) for row in rows]


@pytest.mark.one_database
@pytest.mark.parametrize(("rows", "code"), [(2, "segment_shape"), (1, "segment_values")])
async def test_vectors_that_are_whole_and_wrong(
    services: Services, two: Caller, rows: int, code: str
) -> None:
    path = _file(services, "vector_store/*/*.npy")
    sha256 = write_segment(path, np.full((rows, 384), np.nan, np.float32))
    async with services.database.write() as session:
        wrong = update(Document).where(Document.segment == path.name).values(segment_sha256=sha256)
        await session.execute(wrong)
    assert [one.code for one in await find(services)] == [code]
    assert await repair(services) == {code: True}
    assert two.worker is not None
    await two.worker.run_until_idle()
    assert await find(services) == []


@pytest.mark.one_database
@pytest.mark.parametrize("how", ["gone", "other"])
async def test_an_uploaded_file_that_is_lost_is_for_people(services: Services, two: Caller, how: str) -> None:
    path = _file(services, "content/*")
    path.unlink() if how == "gone" else _flip(path)
    code = "content_missing" if how == "gone" else "content_damaged"
    assert await repair(services) == {code: False}
    assert len(await two.search("kb", "年假 病假", top_k=5)) == 2, "what can be searched stays so"
    name = await _owner(services, path)
    data = (LEAVE if name == "a.txt" else SICK).encode()
    await two.ingest("kb", {name: data}, override=True)
    assert await find(services) == []


@pytest.mark.one_database
async def test_a_document_with_nothing_left_says_so(services: Services, two: Caller) -> None:
    document_id = _file(services, "content/*").name.partition(".")[0]
    await two.upload("kb", {"c.txt": b"kept"}, to_vector_store=False)
    for path in services.settings.server.data_dir.glob("kb_*/content/*"):
        path.unlink()
    async with services.database.write() as session:
        await session.execute(delete(Chunk).where(Chunk.document_id == document_id))
    found = [(one.code, one.file) for one in await find(services)]
    assert len(found) == 4
    await repair(services)
    documents = await two.documents("kb")
    gone = [row["file_name"] for row in documents.values() if row["error_code"] == "content_gone"]
    assert len(gone) == 2
    assert "重新上传" in documents[gone[0]]["reason"]
    assert len(await find(services)) == 1, "the one that is searched as before"


@pytest.mark.one_database
async def test_rows_that_do_not_agree_are_put_right(services: Services, two: Caller) -> None:
    ids = [
        path.name.partition(".")[0]
        for path in sorted(services.settings.server.data_dir.glob("kb_*/content/*"))
    ]
    await two.upload("kb", {"c.txt": b"waits"})
    async with services.database.write() as session:
        await session.execute(delete(Chunk).where(Chunk.document_id == ids[0]))
        await session.execute(
            update(DocumentTerms).where(DocumentTerms.document_id == ids[1]).values(passages=7)
        )
        await session.execute(delete(Job))
    assert sorted(one.code for one in await find(services)) == ["chunks_missing", "stuck", "words_wrong"]
    assert await repair(services) == {"chunks_missing": True, "stuck": True, "words_wrong": True}
    assert two.worker is not None
    await two.worker.run_until_idle()
    assert await find(services) == []
    assert {row["state"] for row in (await two.documents("kb")).values()} == {"ready"}
    assert len(await two.search("kb", "年假 病假", top_k=5)) >= 2


@pytest.mark.one_database
async def test_the_index_of_words_is_made_anew(services: Services, two: Caller) -> None:
    async with services.database.write() as session:
        await session.execute(text("DELETE FROM chunk_fts_data WHERE id > 10"))
    assert [one.code for one in await find(services)] == ["words_index_damaged"]
    assert await repair(services) == {"words_index_damaged": True}
    assert await find(services) == []


@pytest.mark.one_database
async def test_what_no_row_knows_is_taken_away(services: Services, two: Caller) -> None:
    folder = _file(services, "content")
    strange = [
        folder / "doc_x.txt",
        folder / "doc_x.txt.tmp",
        folder.parent / "vector_store/e5-small/doc_x.1.npy",
    ]
    for path in strange:
        path.write_bytes(b"x")
    assert {one.path for one in await find(services)} == set(map(str, strange))
    assert await find(services, grace=timedelta(hours=1)) == [], "it may be on its way"
    assert await repair(services) == {"left_over": True}
    assert await find(services) == []
    assert not any(path.exists() for path in strange)
    assert len(await two.search("kb", "年假 病假", top_k=5)) == 2


@pytest.mark.one_database
async def test_foreign_files_are_not_read(services: Services, two: Caller) -> None:
    """An index or a pickle that somebody laid beside ours is no index of ours."""
    folder = _file(services, "vector_store/*")
    for name in ("index.faiss", "index.pkl", "doc_evil.npy"):
        (folder / name).write_bytes(b"\x80\x04cos\nsystem\n")
    services.kb._indexes._loaded.clear()
    assert len(await two.search("kb", "年假 病假", top_k=5)) == 2
    assert {one.code for one in await find(services)} == {"left_over"}


@pytest.mark.one_database
async def test_nothing_is_found_that_only_changes(services: Services, two: Caller) -> None:
    """While files are replaced and deleted under its eyes."""
    found: list[Finding] = []
    ended = asyncio.Event()

    async def look() -> None:
        while not ended.is_set():
            found.extend(await find(services, grace=timedelta(hours=1)))

    looking = asyncio.ensure_future(look())
    for number in range(5):
        await two.ingest("kb", {"a.txt": f"第{number}版：{LEAVE}".encode()}, override=True)
        await two.post(
            "/knowledge_base/delete_docs",
            {"knowledge_base_name": "kb", "file_names": ["b.txt"], "delete_content": True},
        )
        await two.ingest("kb", {"b.txt": f"{SICK}{number}".encode()})
    ended.set()
    await looking
    assert found == []


@pytest.mark.one_database
async def test_an_earlier_version_that_lost_its_vectors_is_read_when_it_is_restored(
    services: Services, two: Caller
) -> None:
    old = (await two.documents("kb"))["a.txt"]["document_id"]
    await two.ingest("kb", {"a.txt": "年假七天。".encode()}, override=True)
    assert await find(services) == []
    for path in services.settings.server.data_dir.glob(f"kb_*/vector_store/*/{old}.*"):
        path.unlink()
    (fault,) = await find(services)
    assert (fault.code, fault.file) == ("version_damaged", "a.txt")
    assert await repair(services) == {"version_damaged": True}
    assert await find(services) == []
    restored = await two.post(
        "/knowledge_base/restore_version",
        {"knowledge_base_name": "kb", "file_name": "a.txt", "document_id": old},
    )
    assert restored.status_code == 200, restored.text
    assert two.worker is not None
    await two.worker.run_until_idle()
    assert LEAVE in {hit["page_content"] for hit in await two.search("kb", "年假")}
    assert await find(services) == []


@pytest.mark.one_database
async def test_the_worker_tells_what_is_missing(
    services: Services, two: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    reconciling = Reconciling(services.database, services.files, services.runtime, services.history)
    assert await reconciling.look() == {}
    _file(services, "vector_store/*/*.npy").unlink()
    assert await reconciling.look() == {"segment_missing": 1}
    assert "kb verify" in caplog.text
    assert {row["state"] for row in (await two.documents("kb")).values()} == {"ready"}, "and changes nothing"
