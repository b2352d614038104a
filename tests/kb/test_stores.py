"""Knowledge bases in PostgreSQL and Milvus, and large ones in FAISS, as callers and operators see them; each in its real engine."""

import asyncio
import time
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from server.auth.principal import Principal, Scope
from server.auth.secret_files import make_secret_file
from server.cli.moving import move_kb
from server.core.errors import Invalid, KBNotFound, StoreUnavailable
from server.core.settings import Settings
from server.kb import slot_repository
from server.kb.chunk_change import Wish
from server.kb.filters import Filters
from server.kb.models import Chunk, Document, KnowledgeBase, SlotSegment, VectorSlot
from server.kb.moves import Moves
from server.kb.rebuild import Rebuilds
from server.kb.splitters import Chunking
from server.kb.store_keeper import StoreKeeper
from server.kb.store_servers import check_store
from server.kb.vectorstores.base import SharedIndex, SlotMissing
from server.kb.worker import Worker
from server.services import Services, open_services
from server.worker import open_keeper
from tests.conftest import Callers, test_settings
from tests.support.api import Caller
from tests.support.held import hold, working
from tests.support.hidden import PUBLIC, History, told
from tests.support.passages import check_all_agree
from tests.support.vector_servers import SERVERS, vector_server

FILES = {
    "假期.txt": "年假五天，工龄满十年的十天。".encode(),
    "出差.txt": "住宿标准每晚四百元，超出部分自理。".encode(),
    "密码.txt": "密码每九十天更换一次。".encode(),
}
QUESTIONS = ("年假有几天", "出差住酒店多少钱", "密码多久换")


# Each in PostgreSQL; with Milvus what shows that it is the same, and the rest when it is asked for (-m milvus).
BOTH = pytest.mark.parametrize("store", SERVERS, indirect=True)


@pytest.fixture(scope="module", params=["pg", pytest.param("milvus", marks=pytest.mark.milvus)])
def store(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def given(store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with vector_server(store, tmp_path_factory.mktemp(store)) as settings:
        yield {f"VECTOR_STORE__{key.upper()}": value for key, value in settings.items()}


@pytest.fixture
def settings(database_url: str, tmp_path: Path, given: dict[str, str]) -> Settings:
    return _settings(tmp_path, database_url, **given)


def _settings(tmp_path: Path, database_url: str, **environ: str) -> Settings:
    data_dir = tmp_path / "data"
    make_secret_file(data_dir / "secrets" / "master.key", "0f" * 32)
    return test_settings(data_dir, database_url, **environ)


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Segments that were written to a server, in order."""
    return _watch(monkeypatch)


def _watch(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> list[str]:
    """`seconds`: how long each writing takes, at least."""
    written: list[str] = []
    for kind in SharedIndex.__subclasses__():
        real = kind.put

        def put(self: SharedIndex, parts: Any, real: Any = real) -> None:
            written.extend(part.segment for part in parts)
            time.sleep(seconds)
            real(self, parts)

        monkeypatch.setattr(kind, "put", put)
    return written


async def _kb(services: Services, name: str = "kb") -> KnowledgeBase:
    async with services.database.read() as session:
        return (await session.scalars(select(KnowledgeBase).where(KnowledgeBase.name == name))).one()


async def _found(services: Services, question: str, name: str = "kb") -> list[tuple[str, float]]:
    hits, _ = await services.kb.search_in(
        await _kb(services, name), question, viewer=None, top_k=10, threshold=4.0
    )
    return [(hit.file_name, round(hit.score, 4)) for hit in hits]


async def _held(services: Services) -> int:
    kb = await _kb(services)
    return await services.runtime.lanes.run("stores", services.slots.open(kb).count)


def _alone(worker: Worker) -> Worker:
    """One that is killed right after each commit: nothing reaches the server of vectors."""
    worker._keeper = None
    return worker


@pytest.mark.one_database
async def test_what_is_not_embedded_yet_is_found_by_its_words(
    services: Services, editor: Caller, worker: Worker, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nothing on the server, and beside what is there; who may see only some of it finds only that."""
    await editor.create_kb("kb", vector_store_type=store)
    for number, name in enumerate(("出差.txt", "密码.txt")):
        await editor.upload("kb", {name: FILES[name]})
        with monkeypatch.context() as patch:
            held = hold(worker, patch)
            async with working(worker) as running:
                await held.came.wait()
                hits = await editor.search("kb", QUESTIONS[number + 1])
                assert hits[0]["metadata"]["source"] == name
                told = {"filters": {"files": [name]}}
                assert len(await editor.search("kb", QUESTIONS[number + 1], **told)) == 1
                assert await _held(services) == number
                held.go.set()
                await running
        assert await _held(services) == number + 1


@BOTH
@pytest.mark.one_database
async def test_the_same_hits_and_scores_as_faiss(
    services: Services, editor: Caller, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By meaning and by words, those that only one of the two brings, and of some files only."""
    codes = {f"{n}.txt": f"型号 传感器-温度-TH{n:02}，量程零下四十度到八十五度。".encode() for n in range(6)}
    await editor.create_kb("kb", vector_store_type=store)
    await editor.create_kb("memory", vector_store_type="faiss")
    for name in ("kb", "memory"):
        assert {d["state"] for d in (await editor.ingest(name, FILES | codes)).values()} == {"ready"}
    rows = (await editor.get("/knowledge_base/list_knowledge_bases_v2")).json()["data"]
    assert {row["kb_name"]: row["vs_type"] for row in rows} == {"kb": store, "memory": "faiss"}
    monkeypatch.setattr("server.kb.retriever._DEPTH", 1)
    some = Filters(files=frozenset({"3.txt", "假期.txt"}))
    for question in (*QUESTIONS, "TH03", "th-05 的量程"):
        for filters in (None, some):
            there, here = [
                await services.kb.search_all(
                    [await _kb(services, name)],
                    question,
                    viewer=None,
                    top_k=2,
                    threshold=4.0,
                    filters=filters,
                )
                for name in ("kb", "memory")
            ]
            assert [hit.text for hit in there[0]] == [hit.text for hit in here[0]]
            assert filters is None or {hit.file_name for hit in there[0]} == filters.files
            seen, expected = (
                [(one.text, one.score, one.words, one.outcome) for one in trace.candidates]
                for _, trace in (there, here)
            )
            assert [one[0] for one in seen] == [one[0] for one in expected]
            for ours, theirs in zip(seen, expected, strict=True):
                assert ours[1:3] == pytest.approx(theirs[1:3], abs=1e-4)
    assert len(here[0]) == 2
    (best, *_), trace = await services.kb.search_in(
        await _kb(services), "TH05", viewer=None, top_k=1, threshold=4.0
    )
    assert best.file_name == "5.txt"
    assert len(trace.candidates) >= 2
    assert await _held(services) == 9


@BOTH
@pytest.mark.one_database
async def test_what_is_hidden_changes_nothing(
    callers: Callers, editor: Caller, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.kb.retriever._DEPTH", 3)
    reader = await callers.user("acme", "u1")
    await editor.create_kb("kb", vector_store_type=store)
    await editor.ingest("kb", {name: text.encode() for name, text in PUBLIC.items()})
    before = await told(reader)
    history = History(editor, 1)
    await history.add()
    assert await told(reader) == before
    await history.show()
    assert await told(reader) == before
    await history.delete()
    assert await told(reader) == before


@BOTH
@pytest.mark.one_database
async def test_changed_passages_are_followed(services: Services, editor: Caller, store: str) -> None:
    """Of the new segment only the changed passage is new: the others move over, and none is there twice."""
    lines = [f"{what}的规定是一共{n}天整。" for n, what in enumerate(("年假", "病假", "婚假"), 1)]
    await editor.create_kb("kb", vector_store_type=store, chunk_size="20", chunk_overlap="0")
    await editor.ingest("kb", {"a.txt": "\n".join(lines).encode()})
    editing, caller = services.kb.editing, Principal("acme", "u1", "", frozenset(Scope))
    async with services.database.read() as session:
        first, second, _ = (await session.scalars(select(Chunk.id).order_by(Chunk.position))).all()
    update, add = editing.update, editing.add
    changes: tuple[tuple[Any, set[str]], ...] = (
        (
            partial(update, chunk_id=first, wish=Wish("年假改成六天。")),
            {"年假改成六天。", lines[1], lines[2]},
        ),
        (partial(update, chunk_id=second, wish=Wish(enabled=False)), {"年假改成六天。", lines[2]}),
        (
            partial(add, file_name="a.txt", wish=Wish("事假没有工资。"), after=None),
            {"年假改成六天。", lines[2], "事假没有工资。"},
        ),
    )
    for change, expected in changes:
        await change(caller, "kb")
        found = await editor.search("kb", "年假", top_k=9, score_threshold=1)
        assert {hit["page_content"] for hit in found} == expected
        assert await _held(services) == len(expected)
        await check_all_agree(services)


async def test_the_worker_brings_it_there(
    services: Services, editor: Caller, store: str, puts: list[str]
) -> None:
    await editor.create_kb("kb", vector_store_type=store)
    await editor.ingest("kb", FILES)
    assert len(puts) == 3
    await editor.search("kb", QUESTIONS[0])
    assert len(puts) == 3, "a search has nothing to write"


@pytest.mark.one_database
async def test_replaced_without_a_gap(services: Services, editor: Caller, store: str) -> None:
    await editor.create_kb("kb", vector_store_type=store)
    await editor.ingest("kb", {"a.txt": "第 0 版：年假五天。".encode()})
    is_over = False
    seen: set[str] = set()

    async def ask() -> None:
        while not is_over:
            hits = await editor.search("kb", "年假几天", top_k=5, score_threshold=1)
            assert len(hits) == 1, "one version, and never none"
            seen.add(hits[0]["page_content"])

    asking = [asyncio.create_task(ask()) for _ in range(2)]
    for number in range(1, 4):
        await editor.ingest("kb", {"a.txt": f"第 {number} 版：年假五天。".encode()}, override=True)
    is_over = True
    await asyncio.gather(*asking)
    assert (await editor.search("kb", "年假几天"))[0]["page_content"] == "第 3 版：年假五天。"
    assert len(seen) > 1
    assert await _held(services) == 1


async def test_deleted_is_gone_at_once(services: Services, editor: Caller, store: str) -> None:
    await editor.create_kb("kb", vector_store_type=store)
    await editor.ingest("kb", FILES)
    body = {"knowledge_base_name": "kb", "file_names": ["假期.txt"], "delete_content": True}
    assert (await editor.post("/knowledge_base/delete_docs", body)).status_code == 200
    hits = await editor.search("kb", QUESTIONS[0], top_k=5, score_threshold=1)
    assert len(hits) == 2
    assert await _held(services) == 2


@pytest.mark.one_database
async def test_another_knowledge_base_is_never_seen(services: Services, editor: Caller, store: str) -> None:
    for name, text in (("kb", "年假五天。"), ("other", "年假九十九天。")):
        await editor.create_kb(name, vector_store_type=store)
        await editor.ingest(name, {"a.txt": text.encode()})
    hits = await editor.search("kb", "年假几天", top_k=10, score_threshold=1)
    assert [hit["page_content"] for hit in hits] == ["年假五天。"]


class TestHealing:
    async def test_a_crash_between_the_commit_and_the_store(
        self, services: Services, editor: Caller, worker: Worker, store: str
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        _alone(worker)
        await editor.ingest("kb", FILES)
        async with services.database.read() as session:
            assert await slot_repository.list_slots(session) == []
        assert (await _found(services, QUESTIONS[0]))[0][0] == "假期.txt"
        await editor.ingest("kb", {"假期.txt": "年假六天。".encode()}, override=True)
        assert len(await _found(services, QUESTIONS[0])) == 3
        assert await _held(services) == 3

    async def test_a_crash_in_the_middle_of_writing(
        self,
        services: Services,
        editor: Caller,
        worker: Worker,
        store: str,
        monkeypatch: pytest.MonkeyPatch,
        settings: Settings,
    ) -> None:
        """The vectors are there, and nothing says so; then the document goes before anybody looks again."""
        await editor.create_kb("kb", vector_store_type=store)
        _alone(worker)
        await editor.ingest("kb", {"假期.txt": FILES["假期.txt"]})

        async def killed(*_: object) -> int:
            raise KeyError("killed")

        with monkeypatch.context() as patch:
            patch.setattr(slot_repository, "mark_written", killed)
            with pytest.raises(KeyError):
                await _found(services, QUESTIONS[0])
        assert await _held(services) == 1
        await editor.ingest("kb", {"出差.txt": FILES["出差.txt"]})
        body = {"knowledge_base_name": "kb", "file_names": ["假期.txt"], "delete_content": True}
        await editor.post("/knowledge_base/delete_docs", body)
        async with open_services(settings) as later:
            assert [name for name, _ in await _found(later, QUESTIONS[0])] == ["出差.txt"]
        assert await _held(services) == 1, "nothing is left over"

    @pytest.mark.one_database
    async def test_a_restart_writes_nothing(
        self, services: Services, editor: Caller, store: str, settings: Settings, puts: list[str]
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        await editor.ingest("kb", FILES)
        before = await _found(services, QUESTIONS[1])
        async with open_services(settings) as later:
            assert await _found(later, QUESTIONS[1]) == before
        assert len(puts) == 3

    @pytest.mark.one_database
    async def test_a_server_that_was_emptied(self, services: Services, editor: Caller, store: str) -> None:
        """While we run: the search that finds nothing there fills it again."""
        await editor.create_kb("kb", vector_store_type=store)
        await editor.ingest("kb", FILES)
        before = await _found(services, QUESTIONS[1])
        await services.runtime.lanes.run("stores", services.slots.open(await _kb(services)).remove)
        assert await _found(services, QUESTIONS[1]) == before
        assert await _held(services) == 3

    @pytest.mark.one_database
    async def test_a_server_that_came_back_from_an_old_backup(
        self, services: Services, editor: Caller, store: str, settings: Settings, puts: list[str]
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        await editor.ingest("kb", FILES)
        before = await _found(services, QUESTIONS[1])
        index = services.slots.open(await _kb(services))
        await services.runtime.lanes.run("stores", index.drop, [puts[0]])
        async with open_services(settings) as later:
            assert await _found(later, QUESTIONS[1]) == before
        assert puts[3:] == puts[:1], "what was missing, and nothing else"

    @pytest.mark.one_database
    async def test_a_lost_segment_is_made_again(
        self, services: Services, editor: Caller, worker: Worker, store: str
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        keeper, worker._keeper = worker._keeper, None
        await editor.ingest("kb", FILES)
        async with services.database.read() as session:
            document = (await session.scalars(select(Document).where(Document.file_name == "假期.txt"))).one()
        assert document.segment is not None
        kb = await _kb(services)
        services.files.segment_path(kb.id, kb.embed_model, document.segment).write_bytes(b"garbage")
        assert {name for name, _ in await _found(services, QUESTIONS[0])} == {"出差.txt", "密码.txt"}
        worker._keeper = keeper
        await worker.run_until_idle()
        assert (await _found(services, QUESTIONS[0]))[0][0] == "假期.txt"
        assert await _held(services) == 3

    async def test_processes_do_not_write_twice(
        self,
        services: Services,
        editor: Caller,
        worker: Worker,
        store: str,
        settings: Settings,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        _alone(worker)
        await editor.ingest("kb", FILES)
        puts = _watch(monkeypatch, seconds=0.5)
        async with open_services(settings) as one, open_services(settings) as two:
            found = await asyncio.gather(*(_found(each, QUESTIONS[0]) for each in (one, two, one, services)))
        assert all(hits == found[0] and len(hits) == 3 for hits in found)
        assert sorted(puts) == sorted(set(puts))

    async def test_a_writer_that_died_holds_nobody_up_for_ever(
        self, services: Services, editor: Caller, worker: Worker, store: str
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        await editor.ingest("kb", {"假期.txt": FILES["假期.txt"]})
        _alone(worker)
        await editor.ingest("kb", {"出差.txt": FILES["出差.txt"]})
        until = services.runtime.clock.now() + timedelta(seconds=1)
        async with services.database.write() as session:
            await session.execute(update(VectorSlot).values(lease_owner="dead", lease_until=until))
        assert len(await _found(services, QUESTIONS[0])) == 2
        assert services.runtime.clock.now() >= until


class TestKeeper:
    @pytest.fixture
    def keeper(self, services: Services) -> StoreKeeper:
        return open_keeper(services)

    async def test_it_does_what_was_left_undone(
        self,
        services: Services,
        editor: Caller,
        worker: Worker,
        store: str,
        keeper: StoreKeeper,
        puts: list[str],
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        _alone(worker)
        await editor.ingest("kb", FILES)
        assert await keeper.step()
        assert len(puts) == 3
        assert await keeper.step()
        assert len(puts) == 3

    async def test_what_was_of_a_deleted_knowledge_base_goes(
        self, services: Services, editor: Caller, store: str, keeper: StoreKeeper
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        await editor.ingest("kb", FILES)
        index = services.slots.open(await _kb(services))
        await editor.post("/knowledge_base/delete_knowledge_base", "kb")
        assert await keeper.step()
        async with services.database.read() as session:
            assert list(await session.scalars(select(VectorSlot))) == []
            assert list(await session.scalars(select(SlotSegment))) == []
        with pytest.raises(SlotMissing):
            await services.runtime.lanes.run("stores", index.count)

    async def test_what_nobody_searches_any_more_goes_after_a_day(
        self, services: Services, editor: Caller, store: str, keeper: StoreKeeper
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        await editor.ingest("kb", FILES)
        kb = await _kb(services)
        moves = Moves(services.database, services.runtime, services.slots, keeper)
        assert await moves.move(kb, "faiss", "test")
        await keeper.step()
        async with services.database.write() as session:
            (slot,) = await slot_repository.list_slots(session)
            slot.used_at -= timedelta(hours=25)
        await keeper.step()
        async with services.database.read() as session:
            assert await slot_repository.list_slots(session) == []


class TestMoving:
    async def _move(self, services: Services, store: str, progress: Any = None) -> bool:
        keeper = open_keeper(services)
        moves = Moves(services.database, services.runtime, services.slots, keeper)
        return await moves.move(await _kb(services), store, "test", progress)

    @BOTH
    @pytest.mark.one_database
    async def test_there_and_back_while_it_is_searched(
        self, services: Services, editor: Caller, store: str
    ) -> None:
        await editor.create_kb("kb", vector_store_type="faiss")
        await editor.ingest("kb", FILES)
        expected = {question: await _found(services, question) for question in QUESTIONS}
        is_over, asked = False, 0

        async def ask() -> None:
            nonlocal asked
            while not is_over:
                for question in QUESTIONS:
                    hits = await editor.search("kb", question, top_k=10, score_threshold=1)
                    assert len(hits) in (3, 4)
                    asked += 1

        asking = [asyncio.create_task(ask()) for _ in range(2)]
        steps: list[tuple[int, int]] = []

        async def progress(done: int, total: int) -> None:
            steps.append((done, total))

        assert await self._move(services, store, progress)
        assert (steps[0], steps[-1]) == ((0, 3), (3, 3))
        for question in QUESTIONS:
            there = await _found(services, question)
            assert [name for name, _ in there] == [name for name, _ in expected[question]]
            assert [score for _, score in there] == pytest.approx(
                [s for _, s in expected[question]], abs=2e-4
            )
        assert not await self._move(services, store), "it is there already"
        assert await self._move(services, "faiss")
        await editor.ingest("kb", {"e.txt": "报销十天内。".encode()})
        is_over = True
        await asyncio.gather(*asking)
        assert asked > 3
        assert len(await _found(services, QUESTIONS[0])) == 4

    async def test_an_attempt_that_broke_off_is_gone_on_with(
        self,
        services: Services,
        editor: Caller,
        store: str,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("server.kb.slot_writing._BATCH", 1)
        await editor.create_kb("kb", vector_store_type="faiss")
        await editor.ingest("kb", FILES)
        puts = _watch(monkeypatch)

        async def broken(done: int, _: int) -> None:
            if done == 2:
                raise KeyError("killed")

        with pytest.raises(KeyError):
            await self._move(services, store, broken)
        assert (await _kb(services)).vector_store == "faiss"
        assert len(await _found(services, QUESTIONS[0])) == 3
        assert len(puts) == 2
        assert await self._move(services, store)
        assert len(puts) == 3, "what was there already is not written again"
        assert len(await _found(services, QUESTIONS[0])) == 3

    @pytest.mark.one_database
    async def test_a_search_that_began_before_it(
        self, services: Services, editor: Caller, store: str, settings: Settings
    ) -> None:
        await editor.create_kb("kb", vector_store_type=store)
        await editor.ingest("kb", FILES)
        old = await _kb(services)
        assert await self._move(services, "faiss")
        async with open_services(settings) as later:
            for kb in (old, await _kb(services), old):
                hits, _ = await later.kb.search_in(kb, QUESTIONS[0], viewer=None, top_k=5, threshold=4.0)
                assert len(hits) == 3

    @pytest.mark.one_database
    async def test_the_command(
        self,
        services: Services,
        editor: Caller,
        callers: Callers,
        store: str,
        settings: Settings,
        capsys: pytest.CaptureFixture,
    ) -> None:
        await editor.create_kb("kb", vector_store_type="faiss")
        await editor.ingest("kb", FILES)
        assert await move_kb(settings, "kb", None, store) == 0
        assert f"searched in {store} now" in capsys.readouterr().err
        assert (await _kb(services)).vector_store == store
        assert await move_kb(settings, "kb", "acme", store) == 0
        assert "already" in capsys.readouterr().err
        with pytest.raises(KBNotFound):
            await move_kb(settings, "none", None, store)
        await callers.client("beta")
        other = await callers.key("beta", "kb:read", "kb:write")
        await other.create_kb("kb")
        with pytest.raises(Invalid, match="--client"):
            await move_kb(settings, "kb", None, "faiss")
        assert await move_kb(settings, "kb", "acme", "faiss") == 0


async def test_a_change_of_the_model_is_there_before_it_is_made(
    services: Services, editor: Caller, worker: Worker, store: str, puts: list[str]
) -> None:
    """Its new versions are written to a slot of their own while the old one is searched."""
    await editor.create_kb("kb", vector_store_type=store)
    await editor.ingest("kb", FILES)
    # The same weights under a fingerprint that says otherwise are another model.
    async with services.database.write() as session:
        row = (await session.scalars(select(KnowledgeBase))).one()
        row.fingerprint = {**row.fingerprint, "revision": "of old"}
    services.embedders._verified.clear()
    assert len(puts) == 3
    old = await _kb(services)
    index = services.slots.open(old)
    await services.slots.catch_up(old, index)
    del puts[:]
    rebuilds = Rebuilds(services.database, services.files, services.runtime)
    embedder = await services.embedders.get("e5-small")
    await rebuilds.begin(
        old.id, "e5-small", await services.embedders.fingerprint(embedder), Chunking(250, 50, False)
    )
    await worker.run_until_idle()
    now = await _kb(services)
    assert now.rebuild is None
    assert now.fingerprint != old.fingerprint
    assert len(puts) == 3, "all of them before the exchange"
    assert (await _found(services, QUESTIONS[0]))[0][0] == "假期.txt"
    assert len(puts) == 3
    async with services.database.read() as session:
        assert len(await slot_repository.list_slots(session)) == 2


@pytest.mark.one_database
class TestMissing:
    """A server that is not there, or not configured."""

    @pytest.fixture
    def given(self) -> dict[str, str]:
        return {
            "VECTOR_STORE__PG_URL": "postgresql://u:p@127.0.0.1:1/x",
            "VECTOR_STORE__MILVUS_URI": "http://127.0.0.1:1",
            "VECTOR_STORE__TIMEOUT": "2s",
        }

    async def test_creating_says_so(self, editor: Caller, store: str) -> None:
        if store == "milvus":
            pytest.importorskip("pymilvus")
        body = {"knowledge_base_name": "kb", "vector_store_type": store}
        answer = await editor.post("/knowledge_base/create_knowledge_base", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "vector_store_unavailable")
        assert "[vector_store]" in answer.json()["msg"]
        assert "Retry-After" in answer.headers

    async def test_one_that_is_not_configured(
        self, services: Services, editor: Caller, store: str, database_kind: str, settings: Settings
    ) -> None:
        if database_kind == "postgresql" and store == "pg":
            pytest.skip("it is the database itself")
        bare = test_settings(settings.server.data_dir, settings.database_url)
        await editor.create_kb("kb")
        await editor.ingest("kb", FILES)
        async with services.database.write() as session:
            await session.execute(update(KnowledgeBase).values(vector_store=store, generation=100))
        async with open_services(bare) as without:
            with pytest.raises(Invalid, match=r"\[vector_store\]"):
                check_store(store, bare)
            with pytest.raises(StoreUnavailable, match=r"\[vector_store\]"):
                await _found(without, QUESTIONS[0])

    async def test_searching_and_moving_say_so(
        self, services: Services, editor: Caller, store: str, settings: Settings
    ) -> None:
        if store == "milvus":
            pytest.importorskip("pymilvus")
        await editor.create_kb("kb")
        await editor.ingest("kb", FILES)
        with pytest.raises(StoreUnavailable):
            await move_kb(settings, "kb", None, store)
        assert len(await _found(services, QUESTIONS[0])) == 3
        async with services.database.write() as session:
            await session.execute(update(KnowledgeBase).values(vector_store=store, generation=100))
        body = {"query": "年假", "knowledge_base_name": "kb"}
        answer = await editor.post("/knowledge_base/search_docs", body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "vector_store_unavailable")
        await editor.ingest("kb", {"e.txt": "报销十天内。".encode()})
        assert not await open_keeper(services).step()
