"""Search by words, over HTTP and beside the vectors, on every database."""

import numpy as np
import pytest
from sqlalchemy import select, text, update

from server.chat.models import Message
from server.kb import lexical_repository
from server.kb.filters import Filters
from server.kb.lexicon import token
from server.kb.models import Chunk, Document, DocumentTerms, KnowledgeBase
from server.kb.word_indexing import begin_again
from server.kb.worker import Worker
from server.services import Services
from tests.support.api import Caller


async def _kb(services: Services) -> KnowledgeBase:
    async with services.database.read() as session:
        return (await session.scalars(select(KnowledgeBase))).one()


async def _looked_up(services: Services, *terms: str) -> list[tuple[int, int]]:
    kb = await _kb(services)
    async with services.database.read() as session:
        found = await lexical_repository.look_up(session, [token(kb.id, term) for term in terms], 100)
    return [tuple(row) for row in np.sort(found, axis=0).tolist()]


_FILES = {
    "a.txt": "型号 传感器-温度-TH01，量程零下四十度到八十五度。".encode(),
    "b.txt": "型号 传感器-温度-TH02，量程零度到五十度。".encode(),
    "c.txt": "标准 GB/T 1234-2020 規定了螺絲的強度。".encode(),
    "d.txt": "年假五天，病假三天。".encode(),
}


@pytest.mark.parametrize(
    ("question", "file"),
    [
        ("TH02", "b.txt"),
        ("传感器-温度-TH01 的量程", "a.txt"),
        ("ｔｈ－０１", "a.txt"),
        ("GB/T1234", "c.txt"),
        ("螺丝强度", "c.txt"),
        ("螺絲的強度", "c.txt"),
        ("年假", "d.txt"),
    ],
)
async def test_codes_scripts_and_widths_are_found(editor: Caller, question: str, file: str) -> None:
    await editor.create_kb()
    await editor.ingest("kb", _FILES)
    hits = await editor.search("kb", question, top_k=4)
    assert hits[0]["metadata"]["source"] == file


async def test_the_text_index_follows_documents(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", _FILES)
    (first,) = await _looked_up(services, "th01")
    assert len(await _looked_up(services, "温度")) == 2
    await editor.ingest("kb", {"a.txt": "型号 传感器-湿度-TH09。".encode()}, override=True)
    assert await _looked_up(services, "th01") == []
    (second,) = await _looked_up(services, "th09")
    assert second[1] > first[1]
    await editor.post("/knowledge_base/delete_docs", {"knowledge_base_name": "kb", "file_names": ["b.txt"]})
    assert await _looked_up(services, "温度") == []
    await editor.post("/knowledge_base/delete_knowledge_base", "kb")
    async with services.database.read() as session:
        assert list(await session.scalars(select(DocumentTerms.document_id))) == []
        assert list(await session.scalars(select(Chunk.id))) == []


async def test_a_database_of_before_is_indexed_by_an_idle_worker(
    services: Services, worker: Worker, editor: Caller
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", _FILES)
    async with services.database.write() as session:
        await session.execute(update(Chunk).values(tokens=None))
        for row in await session.scalars(select(DocumentTerms)):
            await session.delete(row)
        await session.execute(update(KnowledgeBase).values(generation=KnowledgeBase.generation + 1))
    assert await _looked_up(services, "th01") == []
    # By their meaning they are found all the while, and by their words as far as anybody can tell.
    assert len(await editor.search("kb", "TH02", top_k=4)) == 4
    await worker.run_until_idle()
    assert len(await _looked_up(services, "th01")) == 1
    assert (await editor.search("kb", "TH02", top_k=4))[0]["metadata"]["source"] == "b.txt"


async def test_indexing_again_gives_what_ingestion_gave(
    services: Services, worker: Worker, editor: Caller
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", _FILES)
    kb = await _kb(services)

    async def stored() -> tuple[list[object], list[object]]:
        async with services.database.read() as session:
            chunks = await session.execute(select(Chunk.id, Chunk.tokens).order_by(Chunk.id))
            counts = select(DocumentTerms.document_id, DocumentTerms.packed, DocumentTerms.length)
            rows = await session.execute(counts.order_by(DocumentTerms.document_id))
            return [tuple(row) for row in chunks], [tuple(row) for row in rows]

    before = await stored()
    async with services.database.write() as session:
        await session.execute(update(Chunk).values(tokens="nonsense"))
        await begin_again(session, "test", kb.client_id, kb.name, kb.created_at)
    await worker.run_until_idle()
    assert await stored() == before


@pytest.mark.one_database
async def test_sqlite_agrees_with_the_chunks(services: Services, editor: Caller, database_kind: str) -> None:
    if database_kind != "sqlite":
        pytest.skip("SQLite's own check")
    await editor.create_kb()
    await editor.ingest("kb", _FILES)
    await editor.ingest("kb", {"a.txt": b"other words"}, override=True)
    async with services.database.write() as session:
        await session.execute(text("INSERT INTO chunk_fts(chunk_fts, rank) VALUES ('integrity-check', 1)"))


async def test_only_what_is_live_is_found(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", _FILES)
    async with services.database.write() as session:
        hidden = update(Document).where(Document.file_name == "b.txt").values(state="failed")
        await session.execute(hidden)
        await session.execute(update(KnowledgeBase).values(generation=KnowledgeBase.generation + 1))
    hits = await editor.search("kb", "TH02 温度", top_k=4)
    assert "b.txt" not in {hit["metadata"]["source"] for hit in hits}


async def test_a_follow_up_is_searched_for_with_what_it_lacks(services: Services, editor: Caller) -> None:
    """By the rule, as `quote` is no language model; the stored trace says what was searched for, and how."""
    await editor.create_kb()
    await editor.ingest(
        "kb",
        {"a.txt": "年假有五天，须提前一周申请。".encode(), "b.txt": "病假有三天，须有医院的证明。".encode()},
    )
    history = [{"role": "user", "content": "年假有几天？"}, {"role": "assistant", "content": "五天"}]
    answer, docs = await editor.ask("kb", "病假呢？", history=history)
    assert "病假有三天" in answer
    assert "b.txt" in docs[0]
    async with services.database.read() as session:
        (trace,) = await session.scalars(select(Message.trace))
    assert trace["question"] == "病假有几天？"
    best = trace["candidates"][0]
    assert (best["outcome"], best["rank"], best["word_rank"]) == ("hit", 1, 1)
    assert best["words"] > trace["candidates"][1]["words"]
    assert {"embed", "search", "read", "fuse"} <= trace["milliseconds"].keys()
    assert ["病假", 1] in trace["terms"]


async def test_words_may_be_left_out_and_files_chosen(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", _FILES)
    kb = await _kb(services)
    kb.retrieval = {"words": 0.0}
    hits, trace = await services.kb.search_in(kb, "TH02", viewer=None, top_k=4, threshold=4.0)
    assert [hit.score for hit in hits] == sorted(hit.score for hit in hits)
    assert trace.terms == []
    kb.retrieval = None
    only = Filters(files=frozenset({"a.txt", "d.txt"}))
    hits, _ = await services.kb.search_all([kb], "TH02", viewer=None, top_k=4, threshold=4.0, filters=only)
    assert {hit.file_name for hit in hits} == {"a.txt", "d.txt"}
    nothing = Filters(suffixes=frozenset({".pdf"}))
    assert (await services.kb.search_all([kb], "TH02", viewer=None, top_k=4, threshold=4.0, filters=nothing))[
        0
    ] == []


async def test_several_knowledge_bases_are_one_list(services: Services, editor: Caller) -> None:
    kbs = []
    for name, files in (
        ("one", {"a.txt": _FILES["a.txt"]}),
        ("two", {"b.txt": _FILES["b.txt"], "d.txt": _FILES["d.txt"]}),
    ):
        await editor.create_kb(name)
        await editor.ingest(name, files)
    async with services.database.read() as session:
        kbs = list(await session.scalars(select(KnowledgeBase).order_by(KnowledgeBase.name)))
    hits, _ = await services.kb.search_all(kbs, "TH02 的量程", viewer=None, top_k=2, threshold=4.0)
    assert [(hit.kb_name, hit.file_name) for hit in hits] == [("two", "b.txt"), ("one", "a.txt")]
