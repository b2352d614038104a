"""Single passages: read, changed, added, switched off, deleted; by two at once, while a file is read again, killed in the middle."""

import asyncio
import os
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from server.core.errors import Conflict
from server.core.settings import Settings
from server.kb import chunk_editing
from server.kb.chunk_change import Wish
from server.kb.embedders import Embedders
from server.kb.models import Chunk, Document, DocumentTerms
from server.kb.sweep import sweep
from server.kb.word_indexing import WordIndexing
from server.services import Services, open_services
from tests.conftest import test_settings
from tests.support.api import Caller
from tests.support.passages import check_all_agree, the_kb
from tests.support.provider import KEY, Provider, provider_server

PATH = "/knowledge_base"
NAME = {"knowledge_base_name": "kb"}
LINES = [
    f"{what}的规定是一共{days}天整。"
    for what, days in (("年假", "五"), ("病假", "三"), ("婚假", "十"), ("产假", "百"))
]
CUT: dict[str, Any] = {"chunk_size": 20, "chunk_overlap": 0}


async def _chunks(caller: Caller, file_name: str = "a.txt", **more: Any) -> list[dict[str, Any]]:
    answer = await caller.get(f"{PATH}/chunks", **NAME, file_name=file_name, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["items"]


async def _texts(caller: Caller, file_name: str = "a.txt") -> list[str]:
    return [chunk["text"] for chunk in await _chunks(caller, file_name)]


async def _post(caller: Caller, what: str, **body: Any) -> dict[str, Any]:
    answer = await caller.post(f"{PATH}/{what}", NAME | body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def _refused(caller: Caller, what: str, **body: Any) -> tuple[int, str]:
    answer = await caller.post(f"{PATH}/{what}", NAME | body)
    return answer.status_code, answer.json()["error"]["code"]


async def _found(caller: Caller, question: str = "规定") -> set[str]:
    return {hit["page_content"] for hit in await caller.search("kb", question, top_k=50, score_threshold=1)}


@pytest.fixture
async def library(editor: Caller) -> None:
    await editor.create_kb(**CUT)
    await editor.ingest("kb", {"a.txt": "\n".join(LINES).encode(), "b.txt": "报销的规定：十天内。".encode()})


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Passages that were embedded, in order."""
    seen: list[str] = []
    real = Embedders.embed_passages

    async def embed(self: Embedders, embedder: Any, texts: Any) -> Any:
        seen.extend(texts)
        return await real(self, embedder, texts)

    monkeypatch.setattr(Embedders, "embed_passages", embed)
    return seen


@pytest.mark.usefixtures("library")
class TestEditing:
    async def test_one_passage_is_embedded_and_every_process_finds_it(
        self, editor: Caller, services: Services, embedded: list[str]
    ) -> None:
        kb = await the_kb(services)
        await services.kb.search_in(
            kb, "病假", viewer=None, top_k=9
        )  # another process, with an index of its own
        assert await _found(editor) == {*LINES, "报销的规定：十天内。"}
        before = await _chunks(editor)
        changed = await _post(
            editor, "update_chunk", chunk_id=before[1]["chunk_id"], text=" 病假的规定：七天。\u200b "
        )
        assert embedded == ["a\n病假的规定：七天。"]
        assert (changed["text"], changed["origin"], changed["original"]) == (
            "病假的规定：七天。",
            "edited",
            LINES[1],
        )
        after = await _chunks(editor)
        assert after[1] == changed
        assert [chunk["chunk_id"] for n, chunk in enumerate(after) if n != 1] == [
            chunk["chunk_id"] for n, chunk in enumerate(before) if n != 1
        ], "the others keep their ids"
        assert changed["chunk_id"] > max(chunk["chunk_id"] for chunk in before)
        expected = {"病假的规定：七天。", LINES[0], LINES[2], LINES[3], "报销的规定：十天内。"}
        assert await _found(editor) == expected
        hits, trace = await services.kb.search_in(
            await the_kb(services), "规定", viewer=None, top_k=9, threshold=4
        )
        assert {hit.text for hit in hits} == expected
        assert dict(trace.terms)["规定"] == 5
        assert (await editor.documents("kb"))["a.txt"]["chunks"] == 4
        await check_all_agree(services)
        # What it said before makes it the file's again; and nothing is embedded for what is so already.
        same = await _post(
            editor, "update_chunk", chunk_id=changed["chunk_id"], text=changed["text"], enabled=True
        )
        assert (same, len(embedded)) == (changed, 1)
        back = await _post(editor, "update_chunk", chunk_id=changed["chunk_id"], text=LINES[1])
        assert (back["origin"], back["original"]) == ("file", None)

    async def test_switched_off_nobody_finds_it(
        self, editor: Caller, reader: Caller, services: Services, embedded: list[str]
    ) -> None:
        _, second, *_ = await _chunks(editor)
        off = await _post(editor, "update_chunk", chunk_id=second["chunk_id"], enabled=False)
        assert (off["enabled"], off["origin"], off["position"], embedded) == (False, "file", 1, [])
        assert LINES[1] not in await _found(editor, "病假的规定")
        assert [chunk["enabled"] for chunk in await _chunks(editor)] == [True, False, True, True]
        told = (await editor.documents("kb"))["a.txt"]
        assert (told["chunks"], told["disabled_chunks"]) == (3, 1)
        # Readers of the file do not see it, and its neighbours are not read past it.
        page = (await reader.get(f"{PATH}/passages", **NAME, file_name="a.txt", page_size=2, page=2)).json()[
            "data"
        ]
        assert ([passage["text"] for passage in page["items"]], page["total"]) == ([LINES[3]], 3)
        near = await reader.get(
            f"{PATH}/passages", **NAME, file_name="a.txt", page_size=2, near=page["items"][0]["chunk_id"]
        )
        assert near.json()["data"]["page"] == 2
        kb = await the_kb(services)
        hits, _ = await services.kb.search_in(kb, "年假的规定", viewer=None, top_k=1, threshold=4)
        (read,) = await services.kb.read_widely([kb], hits, 1000)
        assert (hits[0].text, read.reading) == (LINES[0], LINES[0])
        await check_all_agree(services)
        on = await _post(editor, "update_chunk", chunk_id=off["chunk_id"], enabled=True)
        assert (on["enabled"], embedded) == (True, ["a\n" + LINES[1]])
        assert LINES[1] in await _found(editor)
        await check_all_agree(services)

    async def test_adding_and_deleting(self, editor: Caller, services: Services, embedded: list[str]) -> None:
        first, second, *_ = await _chunks(editor)
        added = await _post(
            editor,
            "add_chunk",
            file_name="a.txt",
            text="事假的规定：无薪。",
            after_chunk_id=first["chunk_id"],
        )
        assert (added["position"], added["origin"]) == (1, "added")
        last = await _post(editor, "add_chunk", file_name="a.txt", text="丧假的规定：三天。")
        assert await _texts(editor) == [LINES[0], "事假的规定：无薪。", *LINES[1:], "丧假的规定：三天。"]
        gone = await _post(editor, "delete_chunk", chunk_id=second["chunk_id"])
        assert gone["text"] == LINES[1]
        assert await _texts(editor) == [LINES[0], "事假的规定：无薪。", *LINES[2:], last["text"]]
        assert LINES[1] not in await _found(editor)
        assert embedded == ["a\n事假的规定：无薪。", "a\n丧假的规定：三天。"]
        assert [chunk["position"] for chunk in await _chunks(editor, query="丧假")] == [4]
        await check_all_agree(services)

    @pytest.mark.one_database
    async def test_refusals(self, editor: Caller) -> None:
        first, *_ = await _chunks(editor)
        (other,) = await _chunks(editor, "b.txt")
        chunk_id = first["chunk_id"]
        assert await _refused(editor, "update_chunk", chunk_id=chunk_id, text="  ") == (422, "invalid_input")
        assert await _refused(editor, "update_chunk", chunk_id=chunk_id, text="长" * 20_001) == (
            422,
            "invalid_input",
        )
        assert await _refused(editor, "update_chunk", chunk_id=2**40, text="x") == (404, "passage_not_found")
        assert await _refused(editor, "add_chunk", file_name="none.txt", text="x") == (
            404,
            "document_not_found",
        )
        behind = {"file_name": "b.txt", "text": "x", "after_chunk_id": chunk_id}
        assert await _refused(editor, "add_chunk", **behind) == (404, "passage_not_found")
        for what, more in (("delete_chunk", {}), ("update_chunk", {"enabled": False})):
            assert await _refused(editor, what, chunk_id=other["chunk_id"], **more) == (409, "last_passage")
        assert (await editor.get(f"{PATH}/chunks", **NAME, file_name="none.txt")).status_code == 404
        await editor.create_kb("second")
        body = {"knowledge_base_name": "second", "chunk_id": chunk_id, "text": "x"}
        assert (await editor.post(f"{PATH}/update_chunk", body)).status_code == 404, "it is in another one"
        await editor.upload("kb", {"c.txt": b"kept"}, to_vector_store=False)
        assert await _refused(editor, "add_chunk", file_name="c.txt", text="x") == (409, "not_ready")

    @pytest.mark.one_database
    async def test_a_document_that_is_not_indexed_by_words_yet(
        self, editor: Caller, services: Services
    ) -> None:
        async with services.database.write() as session:
            await session.execute(delete(DocumentTerms))
        first, *_ = await _chunks(editor)
        await _post(editor, "update_chunk", chunk_id=first["chunk_id"], text="年假的规定：六天。")
        words = WordIndexing(services.database, services.runtime)
        while await words.step():
            pass
        await check_all_agree(services)

    @pytest.mark.one_database
    async def test_a_damaged_segment_is_read_again_with_what_people_changed(
        self, editor: Caller, services: Services
    ) -> None:
        first, second, *_ = await _chunks(editor)
        await _post(editor, "update_chunk", chunk_id=first["chunk_id"], text="年假的规定：六天。")
        for path in services.settings.server.data_dir.rglob("*.npy"):
            path.write_bytes(b"")
        assert await _refused(editor, "update_chunk", chunk_id=second["chunk_id"], text="x") == (503, "busy")
        assert await _refused(editor, "update_chunk", chunk_id=second["chunk_id"], text="x") == (
            409,
            "in_progress",
        )
        assert editor.worker is not None
        await editor.worker.run_until_idle()
        assert await _texts(editor) == ["年假的规定：六天。", *LINES[1:]]


@pytest.mark.one_database
async def test_an_answer_changes_without_being_embedded(editor: Caller, embedded: list[str]) -> None:
    await editor.create_kb(chunk_method="qa")
    await editor.ingest("kb", {"问.csv": "问题,答案\n年假几天？,五天。\n病假几天？,三天。".encode()})
    embedded.clear()
    first, _ = await _chunks(editor, "问.csv")
    changed = await _post(editor, "update_chunk", chunk_id=first["chunk_id"], text="六天。")
    assert (changed["question"], changed["text"], changed["original"]) == (
        "年假几天？",
        "六天。",
        "年假几天？\n五天。",
    )
    assert embedded == []
    await _post(editor, "add_chunk", file_name="问.csv", question="婚假几天？", text="十天。")
    assert (await editor.search("kb", "婚假几天？", top_k=1))[0]["page_content"] == "十天。"
    again = await _post(editor, "update_chunk", chunk_id=changed["chunk_id"], question="年休假几天？")
    assert (again["question"], len(embedded)) == ("年休假几天？", 2)
    await editor.post(f"{PATH}/update_docs", NAME | {"file_names": ["问.csv"]})
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert [(c["question"], c["text"]) for c in await _chunks(editor, "问.csv")] == [
        ("年休假几天？", "六天。"),
        ("病假几天？", "三天。"),
        ("婚假几天？", "十天。"),
    ]


@pytest.fixture(scope="module")
def vendor() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


class TestReadingAgain:
    async def _change(self, editor: Caller) -> None:
        """Edit the first, switch the second off, delete the third, add one behind the fourth."""
        first, second, third, fourth = await _chunks(editor)
        await _post(editor, "update_chunk", chunk_id=first["chunk_id"], text="年假的规定：六天。")
        await _post(editor, "update_chunk", chunk_id=second["chunk_id"], enabled=False)
        await _post(editor, "delete_chunk", chunk_id=third["chunk_id"])
        behind = {"file_name": "a.txt", "after_chunk_id": fourth["chunk_id"]}
        await _post(editor, "add_chunk", text="丧假的规定：三天。", **behind)

    EXPECTED = (
        ("年假的规定：六天。", "edited", True),
        (LINES[1], "file", False),
        (LINES[3], "file", True),
        ("丧假的规定：三天。", "added", True),
    )

    async def _shown(self, editor: Caller) -> tuple[Any, ...]:
        return tuple((c["text"], c["origin"], c["enabled"]) for c in await _chunks(editor))

    async def _again(self, editor: Caller, **fields: Any) -> dict[str, Any]:
        await editor.post(f"{PATH}/update_docs", NAME | {"file_names": ["a.txt"]} | fields)
        assert editor.worker is not None
        await editor.worker.run_until_idle()
        return (await editor.documents("kb"))["a.txt"]

    @pytest.mark.usefixtures("library")
    async def test_changes_are_carried_over(
        self, editor: Caller, services: Services, embedded: list[str]
    ) -> None:
        await self._change(editor)
        embedded.clear()
        told = await self._again(editor)
        assert await self._shown(editor) == self.EXPECTED
        assert told["edits"] == {"kept": 4, "lost": 0, "lost_texts": []}
        assert embedded == [], "all of it was embedded before"
        await check_all_agree(services)
        assert (await self._again(editor))["edits"]["kept"] == 4
        assert await self._shown(editor) == self.EXPECTED

    @pytest.mark.usefixtures("library")
    async def test_what_cannot_be_carried_over_is_told(self, editor: Caller, services: Services) -> None:
        await self._change(editor)
        new = "\n".join(["年假的规定：九天。", *LINES[1:]])
        told = (await editor.ingest("kb", {"a.txt": new.encode()}, override=True))["a.txt"]
        assert told["edits"] == {"kept": 3, "lost": 1, "lost_texts": ["年假的规定：六天。"]}
        assert await self._shown(editor) == (("年假的规定：九天。", "file", True), *self.EXPECTED[1:])
        told = await self._again(editor, chunk_method="whole")
        assert told["edits"]["lost"] == 2, "neither passage stands there for itself any more"
        assert [text for text, *_ in await self._shown(editor)][1:] == ["丧假的规定：三天。"]
        await check_all_agree(services)

    @pytest.mark.usefixtures("library")
    @pytest.mark.one_database
    async def test_nobody_edits_what_is_being_read(self, editor: Caller) -> None:
        first, *_ = await _chunks(editor)
        await editor.post(f"{PATH}/update_docs", NAME | {"file_names": ["a.txt"]})
        for what, body in (
            ("update_chunk", {"chunk_id": first["chunk_id"], "text": "x"}),
            ("delete_chunk", {"chunk_id": first["chunk_id"]}),
            ("add_chunk", {"file_name": "a.txt", "text": "x"}),
        ):
            assert await _refused(editor, what, **body) == (409, "in_progress")
        assert await _found(editor) >= set(LINES)

    @pytest.fixture
    def settings(self, settings: Settings, vendor: Provider) -> Settings:
        far = {
            "EMBEDDING__FAR__KIND": "openai",
            "EMBEDDING__FAR__MODEL": "vectors",
            "EMBEDDING__FAR__BASE_URL": vendor.openai,
            "EMBEDDING__FAR__API_KEY": KEY,
        }
        return test_settings(settings.server.data_dir, settings.database_url, **far)

    @pytest.mark.usefixtures("library")
    @pytest.mark.one_database
    async def test_another_model_keeps_them_and_those_made_meanwhile(
        self, editor: Caller, services: Services
    ) -> None:
        await self._change(editor)
        asking = asyncio.create_task(
            editor.post(f"{PATH}/recreate_vector_store", NAME | {"embed_model": "far"})
        )
        while await _count(services, "rebuild") < 2:
            await asyncio.sleep(0.01)
        *_, last = await _chunks(editor)
        assert await _refused(editor, "update_chunk", chunk_id=last["chunk_id"], text="x") == (
            409,
            "in_progress",
        )
        assert editor.worker is not None
        while await _count(services, "rebuild", "ready") < 1:
            assert await editor.worker.step()
        names = {"a.txt": last["chunk_id"]}
        async with services.database.read() as session:
            done = (
                await session.scalars(
                    select(Document.file_name).where(Document.slot == "rebuild", Document.state == "ready")
                )
            ).one()
        if done not in names:
            names[done] = (await _chunks(editor, done))[0]["chunk_id"]
        await _post(editor, "update_chunk", chunk_id=names[done], text="最新的规定：无。")
        for _ in range(3):
            await editor.worker.run_until_idle()
            await asyncio.sleep(0)
        while not asking.done():
            services_clock_passed(editor)
            await editor.worker.run_until_idle()
            await asyncio.sleep(0.05)
        kb = await the_kb(services)
        assert (kb.embed_model, kb.rebuild) == ("far", None)
        shown = await self._shown(editor)
        assert shown[:3] == self.EXPECTED[:3]
        assert "最新的规定：无。" in await _texts(editor, done)


def services_clock_passed(editor: Caller) -> None:
    """The worker looks every five seconds at what is held up: let it look now."""
    assert editor.worker is not None
    assert editor.worker._rebuilds is not None
    editor.worker._rebuilds._next_look = editor.worker._clock.now()


async def _count(services: Services, slot: str, state: str | None = None) -> int:
    query = select(func.count()).select_from(Document).where(Document.slot == slot)
    async with services.database.read() as session:
        return await session.scalar(query if state is None else query.where(Document.state == state)) or 0


@pytest.mark.usefixtures("library")
class TestAtOnce:
    async def test_two_processes_change_different_passages_of_one_file(
        self, editor: Caller, services: Services, embedded: list[str]
    ) -> None:
        """One over HTTP, the other beside it: none is lost, and no passage is embedded twice."""
        chunks = await _chunks(editor)
        caller = _principal()
        made = await asyncio.gather(
            *(
                _post(editor, "update_chunk", chunk_id=chunk["chunk_id"], text=f"第{n}条新的规定。")
                for n, chunk in enumerate(chunks)
                if n % 2
            ),
            *(
                services.kb.editing.update(caller, "kb", chunk["chunk_id"], Wish(text=f"第{n}条新的规定。"))
                for n, chunk in enumerate(chunks)
                if not n % 2
            ),
        )
        assert len(made) == 4
        assert await _texts(editor) == [f"第{n}条新的规定。" for n in range(4)]
        assert len(embedded) == 4
        await check_all_agree(services)

    async def test_two_change_the_same_passage(self, editor: Caller, services: Services) -> None:
        first, *_ = await _chunks(editor)
        answers = await asyncio.gather(
            *(
                editor.post(
                    f"{PATH}/update_chunk", NAME | {"chunk_id": first["chunk_id"], "text": f"第{n}个人。"}
                )
                for n in range(3)
            ),
            services.kb.editing.update(_principal(), "kb", first["chunk_id"], Wish(text="第三个人。")),
            return_exceptions=True,
        )
        won = [
            answer
            for answer in answers
            if getattr(answer, "status_code", 200 if hasattr(answer, "chunk") else 409) == 200
        ]
        assert len(won) == 1
        assert len(await _texts(editor)) == 4
        await check_all_agree(services)

    @pytest.mark.one_database
    async def test_killed_between_the_segment_and_the_commit(
        self, editor: Caller, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, *_ = await _chunks(editor)
        before = set(services.settings.server.data_dir.rglob("*.npy"))

        async def killed(*_: object) -> Any:
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr(chunk_editing.ChunkEditing, "_publish", killed)
            with pytest.raises(asyncio.CancelledError):
                await services.kb.editing.update(_principal(), "kb", first["chunk_id"], Wish(text="x"))
        (left,) = set(services.settings.server.data_dir.rglob("*.npy")) - before
        assert (await _chunks(editor))[0] == first
        assert await _found(editor) >= set(LINES)
        os.utime(left, (time.time() - 7200,) * 2)
        await sweep(services.database, services.files, services.runtime.lanes)
        assert set(services.settings.server.data_dir.rglob("*.npy")) == before
        await check_all_agree(services)

    @pytest.mark.one_database
    async def test_readers_always_see_one_version(self, editor: Caller) -> None:
        ended, seen = asyncio.Event(), set[int]()

        async def read() -> None:
            while not ended.is_set():
                seen.add(len(await _found(editor)))

        readers = [asyncio.create_task(read()) for _ in range(3)]
        for n in range(6):
            first, *_ = await _chunks(editor)
            await _post(editor, "update_chunk", chunk_id=first["chunk_id"], text=f"年假的规定：{n}天。")
        ended.set()
        await asyncio.gather(*readers)
        assert seen == {5}


@pytest.mark.parametrize("flat", ["50000", "3"])
async def test_after_any_changes_all_agree(
    settings: Settings, editor: Caller, services: Services, flat: str
) -> None:
    """Rows, vectors and words, in the process that changed them and in others, which follow now and then. `flat`: with indexes that
    keep whole vectors, and with compressed ones, which read them from segments."""
    more = test_settings(settings.server.data_dir, settings.database_url, VECTOR_STORE__FAISS_FLAT=flat)
    async with open_services(more) as other:
        await editor.create_kb(**CUT)
        text = "\n".join(f"第{n}条规定：{n}天之内办理。" for n in range(8))
        await editor.ingest("kb", {"a.txt": text.encode(), "b.txt": text.encode()})
        source = random.Random(int(flat))
        caller, editing = _principal(), other.kb.editing
        for step in range(24):
            file_name = source.choice(["a.txt", "b.txt"])
            chunk = source.choice(await _chunks(editor, file_name))
            kind = source.choice(["edit", "off", "on", "add", "delete", "again"])
            number = chunk["chunk_id"]
            with suppress(Conflict):
                if kind == "edit":
                    await editing.update(caller, "kb", number, Wish(text=f"改过的规定 {step}。"))
                elif kind in ("on", "off"):
                    await editing.update(caller, "kb", number, Wish(enabled=kind == "on"))
                elif kind == "add":
                    after = source.choice([number, None])
                    await editing.add(caller, "kb", file_name, Wish(text=f"新增的规定 {step}。"), after)
                elif kind == "delete":
                    await editing.delete(caller, "kb", number)
                elif editor.worker is not None:
                    await editor.post(f"{PATH}/update_docs", NAME | {"file_names": [file_name]})
                    await editor.worker.run_until_idle()
            if step % 5 == 0:
                await check_all_agree(other)
        await check_all_agree(other)
        await check_all_agree(services)


def _principal() -> Any:
    from server.auth.principal import Principal, Scope

    return Principal("acme", "u1", "", frozenset(Scope))


async def test_ids_are_never_used_twice(editor: Caller, services: Services, library: None) -> None:
    seen = {chunk["chunk_id"] for chunk in await _chunks(editor)}
    for _ in range(3):
        last = (await _chunks(editor))[-1]
        await _post(editor, "delete_chunk", chunk_id=last["chunk_id"])
        added = await _post(editor, "add_chunk", file_name="a.txt", text="新的规定。")
        assert added["chunk_id"] not in seen
        seen.add(added["chunk_id"])
    async with services.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Chunk)) == 5
