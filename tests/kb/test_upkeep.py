"""Knowledge bases that are there: described, renamed, cut otherwise, given passages, changed to another model."""

import asyncio
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from server.core.settings import Settings
from server.kb import custom
from server.kb.models import CustomPassages, Document, Job, KnowledgeBase
from server.kb.rebuild import Rebuilds
from server.kb.uploads import Upload
from server.services import Services, open_services
from tests.conftest import test_settings
from tests.support.api import Caller, objects, sse_events
from tests.support.provider import KEY, Provider, provider_server

PATH = "/knowledge_base"
NAME = {"knowledge_base_name": "kb"}
LONG = "年假的规定有很多条，每一条都要遵守。" * 40


async def _row(caller: Caller, name: str = "kb") -> dict[str, Any]:
    rows = (await caller.get(f"{PATH}/list_knowledge_bases_v2")).json()["data"]
    return next(row for row in rows if row["kb_name"] == name)


async def _work(caller: Caller) -> None:
    assert caller.worker is not None
    await caller.worker.run_until_idle()


async def _count(services: Services, table: type) -> int:
    async with services.database.read() as session:
        return len(list(await session.scalars(select(table))))


class TestDescribing:
    async def test_zh_name_and_info(self, editor: Caller) -> None:
        await editor.create_kb()
        named = await editor.post(f"{PATH}/update_zh_name", NAME | {"kb_zh_name": "制度库"})
        assert (named.status_code, named.json()["data"]) == (200, {"kb_zh_name": "制度库"})
        told = await editor.post(f"{PATH}/update_info", NAME | {"kb_info": "所有制度"})
        assert (told.status_code, told.json()["data"]) == (200, {"kb_info": "所有制度"})
        row = await _row(editor)
        assert (row["kb_zh_name"], row["kb_info"]) == ("制度库", "所有制度")

    @pytest.mark.parametrize(
        ("path", "body", "status"),
        [
            ("update_zh_name", {"kb_zh_name": "x" * 65}, 422),
            ("update_zh_name", {}, 422),
            ("update_info", {"kb_info": "x" * 201}, 422),
            ("update_info", {}, 422),
            ("rename", {"new_name": "a/b"}, 422),
            ("rename", {"new_name": ""}, 422),
            ("update_chunking", {"chunk_size": 5}, 422),
            ("update_chunking", {"chunk_size": 30, "chunk_overlap": 30}, 422),
            ("update_docs", {"file_names": ["none.txt"]}, 404),
            ("update_docs", {"file_names": ["none.txt"], "docs": "[]"}, 422),
            ("update_docs", {"file_names": ["none.txt"], "docs": "{oops"}, 422),
            ("recreate_vector_store", {"vs_type": "milvus"}, 422),
            ("recreate_vector_store", {"embed_model": "none"}, 404),
            ("recreate_vector_store", {"embed_model": "m3e-base"}, 503),
            ("recreate_vector_store", {"allow_empty_kb": False}, 404),
            ("recreate_vector_store", {"knowledge_base_name": "none"}, 404),
        ],
    )
    async def test_refusals(self, editor: Caller, path: str, body: dict[str, Any], status: int) -> None:
        await editor.create_kb()
        answer = await editor.post(f"{PATH}/{path}", NAME | body)
        assert (answer.status_code, answer.json()["code"]) == (status, status), answer.text

    async def test_a_new_name(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        await editor.create_kb("other")
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        before = sorted(services.settings.server.data_dir.rglob("*"))
        taken = await editor.post(f"{PATH}/rename", NAME | {"new_name": "other"})
        assert (taken.status_code, taken.json()["error"]["code"]) == (409, "already_exists")
        assert (await editor.post(f"{PATH}/rename", NAME | {"new_name": "制度 2"})).status_code == 200
        assert (await editor.search("制度 2", "年假"))[0]["page_content"] == "年假五天。"
        gone = await editor.get(f"{PATH}/list_files", knowledge_base_name="kb")
        assert gone.status_code == 404
        assert sorted(services.settings.server.data_dir.rglob("*")) == before, "nothing on disk has its name"
        await editor.create_kb("kb")


class TestChunking:
    async def test_a_knowledge_base_has_its_own(self, editor: Caller) -> None:
        await editor.create_kb(chunk_size=40, chunk_overlap=5, zh_title_enhance=True)
        row = await _row(editor)
        assert (row["chunk_size"], row["chunk_overlap"], row["zh_title_enhance"]) == (40, 5, True)
        text = "第三章 假期\n\n" + LONG
        await editor.ingest("kb", {"a.txt": text.encode()})
        found = [hit["page_content"] for hit in await editor.search("kb", "年假", top_k=50)]
        assert all(passage.startswith("下文与(") or len(passage) <= 40 for passage in found)
        documents = await editor.ingest("kb", {"b.txt": LONG.encode()}, chunk_size=400)
        assert documents["b.txt"]["chunks"] < documents["a.txt"]["chunks"] / 3, "an upload may say otherwise"
        bad = await editor.post(
            f"{PATH}/create_knowledge_base", {"knowledge_base_name": "b", "chunk_size": 1}
        )
        assert bad.status_code == 422

    async def test_what_it_prefers_can_change(self, editor: Caller) -> None:
        await editor.create_kb(chunk_size=40, chunk_overlap=5)
        changed = await editor.post(f"{PATH}/update_chunking", NAME | {"chunk_size": 100})
        assert changed.json()["data"] == {
            "chunk_method": "recursive",
            "chunk_size": 100,
            "chunk_overlap": 50,
            "zh_title_enhance": False,
            "parent_size": None,
        }
        assert (await _row(editor))["chunk_size"] == 100
        usual = await editor.post(f"{PATH}/update_chunking", NAME)
        assert usual.json()["data"]["chunk_size"] == 250


class TestUpdateDocs:
    async def test_read_again_with_another_chunking(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        before = await editor.ingest("kb", {"a.txt": LONG.encode(), "b.txt": LONG.encode()})
        body = NAME | {"file_names": ["a.txt", "none.txt"], "chunk_size": 60, "chunk_overlap": 10}
        answer = await editor.post(f"{PATH}/update_docs", body)
        assert answer.status_code == 200
        assert set(answer.json()["data"]["failed_files"]) == {"none.txt"}
        hits = await editor.search("kb", "年假", top_k=50)
        assert max(len(hit["page_content"]) for hit in hits) > 60, "searched until the new one is ready"
        again = await editor.post(f"{PATH}/update_docs", body)
        assert (again.status_code, again.json()["error"]["code"]) == (409, "in_progress")
        await _work(editor)
        after = await editor.documents("kb")
        assert after["a.txt"]["chunks"] > before["a.txt"]["chunks"]
        assert after["b.txt"] == before["b.txt"]
        assert len(list(services.settings.server.data_dir.rglob("content/*"))) == 2
        got = await editor.get(f"{PATH}/download_doc", **NAME, file_name="a.txt")
        assert got.content == LONG.encode()

    async def test_what_failed_or_was_only_stored_is_read_itself(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.upload("kb", {"a.txt": "年假五天。".encode()}, to_vector_store=False)
        before = (await editor.documents("kb"))["a.txt"]
        assert before["state"] == "stored"
        answer = await editor.post(f"{PATH}/update_docs", NAME | {"file_names": ["a.txt"]})
        assert answer.status_code == 200
        await _work(editor)
        after = (await editor.documents("kb"))["a.txt"]
        assert (after["state"], after["document_id"]) == ("ready", before["document_id"])

    async def test_content_that_is_gone_is_told(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        for path in services.settings.server.data_dir.rglob("content/*"):
            path.unlink()
        answer = await editor.post(f"{PATH}/update_docs", NAME | {"file_names": ["a.txt"]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "document_not_found")
        assert "a.txt" in answer.json()["data"]["failed_files"]
        assert (await editor.search("kb", "年假"))[0]["page_content"] == "年假五天。"


DOCS = {
    "a.txt": [
        {
            "page_content": "试用期三个月。",
            "metadata": {"heading": "入职", "source": "evil", "作者": "王", "x": [1]},
        },
        {"page_content": "年假七天。"},
    ]
}


class TestCustomDocs:
    async def test_they_replace_what_the_file_says(self, editor: Caller, services: Services) -> None:
        await editor.create_kb(zh_title_enhance=True)
        documents = await editor.ingest(
            "kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode()}, docs=json.dumps(DOCS)
        )
        assert (documents["a.txt"]["custom_docs"], documents["a.txt"]["chunks"]) == (True, 2)
        assert documents["b.txt"]["custom_docs"] is False
        hits = await editor.search("kb", "试用期多久", top_k=5)
        assert {hit["page_content"] for hit in hits} == {"试用期三个月。", "年假七天。", "病假三天。"}
        metadata = hits[0]["metadata"]
        assert (metadata["source"], metadata["heading"], metadata["作者"]) == ("a.txt", "入职", "王")
        assert "x" not in metadata
        kept = await editor.get(f"{PATH}/download_doc", **NAME, file_name="a.txt")
        assert kept.content == "年假五天。".encode(), "the file is kept as it came"

    async def test_reading_again_keeps_them_unless_told_otherwise(
        self, editor: Caller, services: Services
    ) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()}, docs=json.dumps(DOCS))
        body = NAME | {"file_names": ["a.txt"]}
        assert (await editor.post(f"{PATH}/update_docs", body)).status_code == 200
        await _work(editor)
        assert (await editor.documents("kb"))["a.txt"]["chunks"] == 2
        answer = await editor.post(f"{PATH}/update_docs", body | {"override_custom_docs": True})
        assert answer.status_code == 200
        await _work(editor)
        row = (await editor.documents("kb"))["a.txt"]
        assert (row["custom_docs"], row["chunks"]) == (False, 1)
        assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["年假五天。"]
        assert await _count(services, CustomPassages) == 1, "those of the earlier version"

    async def test_they_are_kept_where_nothing_was_read_yet(self, editor: Caller) -> None:
        await editor.create_kb()
        files = {"a.txt": "年假五天。".encode()}
        await editor.upload("kb", files, docs=json.dumps(DOCS), to_vector_store=False)
        assert (await editor.post(f"{PATH}/update_docs", NAME | {"file_names": ["a.txt"]})).status_code == 200
        await _work(editor)
        assert (await editor.documents("kb"))["a.txt"]["chunks"] == 2

    async def test_a_file_that_is_there_is_given_passages(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        body = NAME | {"file_names": [], "docs": json.dumps(DOCS)}
        assert (await editor.post(f"{PATH}/update_docs", body)).status_code == 200
        await _work(editor)
        assert (await editor.documents("kb"))["a.txt"]["chunks"] == 2
        other = {"a.txt": [{"page_content": "只此一段。"}], "none.txt": [{"page_content": "x"}]}
        answer = await editor.upload("kb", {"b.txt": "病假三天。".encode()}, docs=json.dumps(other))
        assert set(answer.json()["data"]["failed_files"]) == {"none.txt"}
        await _work(editor)
        assert (await editor.documents("kb"))["a.txt"]["chunks"] == 1

    @pytest.mark.parametrize(
        "docs",
        [
            "[]",
            "5",
            "{oops",
            '{"a.txt": []}',
            '{"a.txt": {}}',
            '{"a.txt": ["x"]}',
            '{"a.txt": [{"page_content": " "}]}',
            '{"a.txt": [{"page_content": 5}]}',
            '{"a.txt": [{"page_content": "x", "metadata": []}], "a.txt": []}',
            '{"a.txt": [{"page_content": "x", "metadata": "m"}]}',
            '{"a.txt": [{"page_content": "x", "metadata": {"w": 1e400}}]}',
        ],
    )
    async def test_bad_ones_are_refused(self, editor: Caller, docs: str) -> None:
        await editor.create_kb()
        answer = await editor.upload("kb", {"a.txt": b"x"}, docs=docs)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")
        assert await editor.documents("kb") == {}

    async def test_a_number_that_no_database_takes_is_left_out(self) -> None:
        given = {"inf": float("inf"), "nan": float("nan"), "w": 1.5, "long": 10**400, "n": 10**20}
        assert custom._anchor(given) == {"w": 1.5, "long": 10**400, "n": 10**20}

    async def test_nothing_stays_of_an_upload_that_fails(self, editor: Caller, services: Services) -> None:
        """Whatever it is: here, passages that no database takes."""
        await editor.create_kb()
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        passages = [{"text": "x", "anchor": {"w": object()}}]
        upload = Upload("a.txt", 1, io.BytesIO(b"x"))
        with pytest.raises((SQLAlchemyError, TypeError)):
            await services.kb.uploads.take(kb, upload, services.kb.choose_chunking(), custom=passages)
        assert await editor.documents("kb") == {}
        assert list(services.settings.server.data_dir.glob("kb_*/content/*")) == []


class TestRecreate:
    async def test_progress_and_what_is_kept(self, editor: Caller) -> None:
        await editor.create_kb(kb_zh_name="制度", kb_info="公司制度")
        files = {"a.txt": LONG.encode(), "b.txt": "病假三天。".encode()}
        before = await editor.ingest("kb", files)
        await editor.upload("kb", {"c.txt": "只收着。".encode()}, to_vector_store=False)
        found, _ = await asyncio.gather(
            self._recreate(editor, chunk_size=60, chunk_overlap=10), self._work(editor)
        )
        assert [(o["code"], o["total"], o["finished"]) for o in found] == [(200, 3, n) for n in (1, 2, 3)]
        assert {o["doc"] for o in found} == {"a.txt", "b.txt", "c.txt"}
        assert found[0]["msg"] == f"(1 / 3): {found[0]['doc']}"
        after = await editor.documents("kb")
        assert after["a.txt"]["chunks"] > before["a.txt"]["chunks"]
        assert after["c.txt"]["state"] == "ready", "scripts upload without vectors, and then do this once"
        row = await _row(editor)
        assert (row["kb_zh_name"], row["kb_info"]) == ("制度", "公司制度")

    async def _begin(self, editor: Caller, waiting: int, **fields: Any) -> "asyncio.Task[Any]":
        """Ask for it, and return when the versions wait for the worker."""
        asking = asyncio.create_task(self._recreate(editor, **fields))
        while True:
            jobs = (await editor.get("/jobs")).json()["data"]["items"]
            if sum(job["state"] == "waiting" for job in jobs) == waiting:
                return asking
            await asyncio.sleep(0.01)

    async def test_what_is_asked_of_documents_that_wait_counts(
        self, editor: Caller, services: Services
    ) -> None:
        """Another chunk size, while an earlier recreation is under way."""
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": LONG.encode(), "b.txt": LONG.encode()})
        first = await self._begin(editor, 2, chunk_size=400, chunk_overlap=10)
        async with services.database.write() as session:  # a worker has begun with one of them
            query = select(Document).where(Document.file_name == "b.txt", Document.slot == "next")
            version = (await session.scalars(query)).one()
            job = (await session.scalars(select(Job).where(Job.document_id == version.id))).one()
            job.state, job.lease_until = "running", services.runtime.clock.now() - timedelta(seconds=1)
            version.state = "parsing"
        second = asyncio.create_task(self._recreate(editor, chunk_size=60, chunk_overlap=10))
        while True:
            async with services.database.read() as session:
                query = select(Document).where(Document.file_name == "a.txt", Document.slot == "next")
                if (await session.scalars(query)).one().chunking["chunk_size"] == 60:
                    break
            await asyncio.sleep(0.01)
        await _work(editor)
        assert {o["doc"]: o["code"] for o in await second} == {"a.txt": 200, "b.txt": 409}
        told = {o["doc"]: o for o in await first}
        assert {name: o["code"] for name, o in told.items()} == {"a.txt": 409, "b.txt": 200}
        assert "后来请求" in told["a.txt"]["msg"]
        after = await editor.documents("kb")
        assert after["a.txt"]["chunks"] > 3 * after["b.txt"]["chunks"]

    async def test_what_goes_away_meanwhile_is_told(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {f"{name}.txt": "年假五天。".encode() for name in "abc"})
        asking = await self._begin(editor, 3)
        body = NAME | {"file_names": ["a.txt"]}
        await editor.post(f"{PATH}/delete_docs", body | {"delete_content": True})
        await editor.post(f"{PATH}/delete_docs", body | {"file_names": ["b.txt"]})
        await _work(editor)
        told = {o["doc"]: o for o in await asking}
        assert {name: o["code"] for name, o in told.items()} == {"a.txt": 404, "b.txt": 409, "c.txt": 200}
        assert "被删除" in told["a.txt"]["msg"]
        assert "移出检索" in told["b.txt"]["msg"]

    async def test_a_knowledge_base_that_goes_away_ends_it(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode()})
        asking = await self._begin(editor, 2)
        assert (await editor.post(f"{PATH}/delete_knowledge_base", "kb")).status_code == 200
        assert await asking == [{"code": 404, "msg": "未找到知识库 kb"}]

    async def test_what_is_replaced_meanwhile_is_done_when_that_is(
        self, editor: Caller, services: Services
    ) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.json": b"{oops"})
        asking = await self._begin(editor, 1)
        async with services.database.write() as session:
            document = (await session.scalars(select(Document))).one()
            columns = {key: getattr(document, key) for key in Document.__table__.columns.keys()}  # noqa: SIM118
            await session.delete(document)
            await session.flush()
            session.add(Document(**columns | {"id": "doc_newer", "state": "ready"}))
        assert [o["code"] for o in await asking] == [200]

    async def test_server_sent_events(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        asking = editor.post(f"{PATH}/recreate_vector_store", NAME, headers={"Accept": "text/event-stream"})
        answer, _ = await asyncio.gather(asking, self._work(editor))
        events = sse_events(answer.text)
        assert [name for name, _ in events] == ["progress", "finished"]
        assert events[0][1]["doc"] == "a.txt"
        assert events[1][1] == {"total": 1, "finished": 1}

    async def test_a_file_that_cannot_be_read_is_told_and_the_others_go_on(
        self, editor: Caller, services: Services
    ) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.json": b"{oops"})
        found, _ = await asyncio.gather(self._recreate(editor), self._work(editor))
        codes = {o["doc"]: o["code"] for o in found}
        assert codes == {"a.txt": 200, "b.json": 500}
        (failed,) = (o for o in found if o["code"] == 500)
        assert failed["msg"].startswith("添加文件‘b.json’到知识库‘kb’时出错：")

    async def test_it_goes_on_when_the_reader_goes_away(self, editor: Caller) -> None:
        await editor.create_kb()
        before = await editor.ingest("kb", {"a.txt": LONG.encode()})
        async with editor.http.stream(
            "POST", f"{PATH}/recreate_vector_store", json=NAME | {"chunk_size": 60, "chunk_overlap": 10}
        ) as answer:
            assert answer.status_code == 200
        await _work(editor)
        assert (await editor.documents("kb"))["a.txt"]["chunks"] > before["a.txt"]["chunks"]

    async def test_other_weights_under_the_same_name(self, editor: Caller, services: Services) -> None:
        """They are noticed also where the model was in use already, and a rebuild takes them over."""
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        assert await editor.search("kb", "年假")
        async with services.database.write() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
            probe = kb.fingerprint["probe"]
            kb.fingerprint = kb.fingerprint | {"probe": [-x for x in probe]}
            kb.generation += 1
        refused = await editor.post(f"{PATH}/search_docs", NAME | {"query": "年假"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "embedding_mismatch")
        found, _ = await asyncio.gather(self._recreate(editor), self._work(editor))
        assert [o["code"] for o in found] == [200]
        assert (await editor.search("kb", "年假"))[0]["page_content"] == "年假五天。"

    async def test_what_is_told_of_a_store_is_short(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.post(f"{PATH}/recreate_vector_store", NAME | {"vs_type": "x" * 1_000_000})
        assert answer.status_code == 422
        assert len(answer.content) < 2000

    async def test_an_empty_one(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.post(f"{PATH}/recreate_vector_store", NAME)
        assert (answer.status_code, answer.text) == (200, "")

    async def test_an_unknown_one_is_refused_before_the_first_byte(self, editor: Caller) -> None:
        for accept in ("*/*", "text/event-stream"):
            answer = await editor.post(f"{PATH}/recreate_vector_store", NAME, headers={"Accept": accept})
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["error"]["code"] == "kb_not_found"

    async def _recreate(self, editor: Caller, **fields: Any) -> list[dict[str, Any]]:
        answer = await editor.post(f"{PATH}/recreate_vector_store", NAME | fields)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"].startswith("text/event-stream")
        return objects(answer.text)

    async def _work(self, editor: Caller) -> None:
        while (await editor.get("/jobs")).json()["data"]["items"][0]["state"] != "waiting":
            await asyncio.sleep(0.01)
        await _work(editor)


@pytest.fixture(scope="module")
def vendor() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


class TestAnotherModel:
    """From the bundled model with 384 dimensions to a vendor's with 8."""

    @pytest.fixture
    def settings(self, settings: Settings, vendor: Provider) -> Settings:
        far = {
            "EMBEDDING__FAR__KIND": "openai",
            "EMBEDDING__FAR__MODEL": "vectors",
            "EMBEDDING__FAR__BASE_URL": vendor.openai,
            "EMBEDDING__FAR__API_KEY": KEY,
        }
        return test_settings(settings.server.data_dir, settings.database_url, **far)

    async def _begin(self, editor: Caller, waiting: int = 2, **fields: Any) -> "asyncio.Task[Any]":
        """Ask for the change, and return when the new versions wait for the worker."""
        asking = asyncio.create_task(
            editor.post(f"{PATH}/recreate_vector_store", NAME | {"embed_model": "far"} | fields)
        )
        while (await _row(editor))["next_embed_model"] != "far" or not await self._is_waiting(
            editor, waiting
        ):
            await asyncio.sleep(0.01)
        return asking

    async def _is_waiting(self, editor: Caller, number: int = 2) -> bool:
        jobs = (await editor.get("/jobs")).json()["data"]["items"]
        return sum(job["state"] == "waiting" for job in jobs) == number

    @pytest.fixture
    async def filled(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode()})

    async def _found(self, editor: Caller) -> set[str]:
        return {hit["page_content"] for hit in await editor.search("kb", "年假", top_k=9)}

    @pytest.mark.usefixtures("filled")
    async def test_all_at_once_and_nothing_is_missing_meanwhile(
        self, editor: Caller, services: Services
    ) -> None:
        everything = {"年假五天。", "病假三天。"}
        asking = await self._begin(editor)
        assert editor.worker is not None
        assert await editor.worker.step()
        assert (await _row(editor))["embed_model"] == "e5-small"
        assert await self._found(editor) == everything, "one of two is ready, and the old index answers"
        assert set(await editor.documents("kb")) == {"a.txt", "b.txt"}
        await _work(editor)
        answer = await asking
        assert [(o["code"], o["finished"], o["total"]) for o in objects(answer.text)] == [
            (200, 1, 2),
            (200, 2, 2),
        ]
        row = await _row(editor)
        assert (row["embed_model"], row["next_embed_model"]) == ("far", None)
        for process in (editor, None):  # the one that has the old index in memory, and one that has none
            if process is None:
                async with open_services(services.settings) as fresh, fresh.database.read() as session:
                    kb = (await session.scalars(select(KnowledgeBase))).one()
                    hits, _ = await fresh.kb.search_in(kb, "年假", viewer=None, top_k=9, threshold=4)
                    assert {hit.text for hit in hits} == everything
            else:
                body = NAME | {"query": "年假", "top_k": 9, "score_threshold": 1}
                found = (await process.post(f"{PATH}/search_docs", body)).json()
                assert {hit["page_content"] for hit in found} <= everything
        folder = services.settings.server.data_dir
        assert len(list(folder.rglob("content/*"))) == 2
        assert [path.parent.name for path in folder.rglob("*.npy")] == ["far", "far"]

    @pytest.mark.usefixtures("filled")
    async def test_a_search_that_began_before_it_still_finds(
        self, editor: Caller, services: Services
    ) -> None:
        async with services.database.read() as session:
            old = (await session.scalars(select(KnowledgeBase))).one()
        await services.kb.search_in(old, "年假", viewer=None, top_k=1, threshold=4)
        asking = await self._begin(editor)
        await _work(editor)
        await asking
        async with services.database.read() as session:
            new = (await session.scalars(select(KnowledgeBase))).one()
        hits, trace = await services.kb.search_in(old, "年假", viewer=None, top_k=9, threshold=4)
        assert ({hit.text for hit in hits}, trace.kbs) == (
            {"年假五天。", "病假三天。"},
            {"kb": new.generation},
        )
        hits, _ = await services.kb.search_in(old, "年假", viewer=None, top_k=9, threshold=4)
        assert len(hits) == 2
        assert all(row["state"] == "ready" for row in (await editor.documents("kb")).values())

    @pytest.mark.usefixtures("filled")
    async def test_what_cannot_be_read_holds_it_up_and_nothing_is_lost(
        self, editor: Caller, services: Services
    ) -> None:
        asking = await self._begin(editor)
        async with services.database.read() as session:
            query = select(Document).where(Document.slot == "rebuild", Document.file_name == "b.txt")
            version = (await session.scalars(query)).one()
        services.files.content_path(version.kb_id, version.id, version.suffix).unlink()
        await _work(editor)
        told = objects((await asking).text)
        assert sorted(o["code"] for o in told) == [200, 409, 500]
        assert "仍用 e5-small 检索" in told[-1]["msg"]
        assert await self._found(editor) == {"年假五天。", "病假三天。"}
        assert (await _row(editor))["next_embed_model"] == "far"
        # Deleting what cannot be read ends it.
        await editor.post(f"{PATH}/delete_docs", NAME | {"file_names": ["b.txt"], "delete_content": True})
        await Rebuilds(services.database, services.files, services.runtime).go_on_everywhere()
        row = await _row(editor)
        assert (row["embed_model"], row["next_embed_model"]) == ("far", None)

    @pytest.mark.usefixtures("filled")
    async def test_beginning_again_reads_only_what_failed(
        self, editor: Caller, services: Services, vendor: Provider
    ) -> None:
        asking = await self._begin(editor)
        async with services.database.read() as session:
            query = select(Document).where(Document.slot == "rebuild", Document.file_name == "b.txt")
            version = (await session.scalars(query)).one()
        path = services.files.content_path(version.kb_id, version.id, version.suffix)
        data = path.read_bytes()
        path.unlink()
        await _work(editor)
        await asking
        path.write_bytes(data)
        vendor.calls.clear()
        asking = asyncio.create_task(
            editor.post(f"{PATH}/recreate_vector_store", NAME | {"embed_model": "far"})
        )
        while (await editor.get("/jobs")).json()["data"]["items"][0]["state"] != "waiting":
            await asyncio.sleep(0.01)
        await _work(editor)
        assert objects((await asking).text)[-1]["code"] == 200
        assert [
            text for call in vendor.calls for text in call.body["input"] if "病假" in text or "年假" in text
        ] == ["b\n病假三天。"]
        assert (await _row(editor))["embed_model"] == "far"

    @pytest.mark.usefixtures("filled")
    @pytest.mark.parametrize("when", ["before", "during"])
    async def test_uploads_meanwhile_are_taken_along(
        self, editor: Caller, services: Services, when: str
    ) -> None:
        """The queue is read in its order: what was uploaded before becomes ready under the old model, after its version."""
        new = {"a.txt": "年假九天，不含周末。".encode(), "c.txt": "婚假十天。".encode()}
        if when == "before":
            await editor.upload("kb", new)
        asking = await self._begin(editor, waiting=4 if when == "before" else 2)
        if when == "during":
            await editor.upload("kb", new)
        await _work(editor)
        assert objects((await asking).text)[-1]["code"] == 200
        row = await _row(editor)
        assert (row["embed_model"], row["next_embed_model"], row["file_count"]) == ("far", None, 3)
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        hits, _ = await services.kb.search_in(kb, "年假", viewer=None, top_k=9, threshold=4)
        assert {hit.text for hit in hits} == {"年假九天，不含周末。", "病假三天。", "婚假十天。"}
        assert {item["state"] for item in (await editor.documents("kb")).values()} == {"ready"}

    @pytest.mark.usefixtures("filled")
    async def test_the_present_model_calls_it_off(self, editor: Caller, services: Services) -> None:
        asking = await self._begin(editor)
        back = asyncio.create_task(editor.post(f"{PATH}/recreate_vector_store", NAME))
        while (await _row(editor))["next_embed_model"] is not None:
            await asyncio.sleep(0.01)
        while not await self._is_waiting(editor):
            await asyncio.sleep(0.01)
        await _work(editor)
        assert {o["code"] for o in objects((await back).text)} == {200}
        told = objects((await asking).text)
        assert [o["code"] for o in told] == [409]
        assert "已被后来的重建取消或取代" in told[0]["msg"]
        assert (await _row(editor))["embed_model"] == "e5-small"
        assert await self._found(editor) == {"年假五天。", "病假三天。"}
        assert {path.parent.name for path in services.settings.server.data_dir.rglob("*.npy")} == {"e5-small"}

    @pytest.mark.usefixtures("filled")
    async def test_what_was_only_kept_follows(self, editor: Caller, services: Services) -> None:
        await editor.upload("kb", {"c.txt": "婚假十天。".encode()}, to_vector_store=False)
        asking = await self._begin(editor, 3)
        await _work(editor)
        while not asking.done():
            await _work(editor)
            await asyncio.sleep(0.1)
        assert {(o["doc"], o["code"]) for o in objects((await asking).text)} == {
            ("a.txt", 200), ("b.txt", 200), ("c.txt", 200),
        }  # fmt: skip
        assert (await _row(editor))["embed_model"] == "far"
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        hits, _ = await services.kb.search_in(kb, "年假", viewer=None, top_k=9, threshold=4)
        assert {hit.text for hit in hits} == {"年假五天。", "病假三天。", "婚假十天。"}

    async def test_an_empty_one_changes_at_once(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.post(f"{PATH}/recreate_vector_store", NAME | {"embed_model": "far"})
        assert answer.status_code == 200
        assert (await _row(editor))["embed_model"] == "far"
        assert (await editor.ingest("kb", {"a.txt": "年假五天。".encode()}))["a.txt"]["state"] == "ready"

    @pytest.mark.usefixtures("filled")
    async def test_passages_that_people_gave_stay(self, editor: Caller) -> None:
        docs = json.dumps({"a.txt": [{"page_content": "只此一段。"}]})
        await editor.post(f"{PATH}/update_docs", NAME | {"file_names": [], "docs": docs})
        await _work(editor)
        asking = await self._begin(editor)
        await _work(editor)
        await asking
        row = (await editor.documents("kb"))["a.txt"]
        assert (row["custom_docs"], row["chunks"], row["chars"]) == (True, 1, len("只此一段。"))

    @pytest.mark.usefixtures("filled")
    async def test_a_document_that_was_read_for_the_old_model_is_read_again(
        self, editor: Caller, services: Services, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The change comes between the embedding of a document and its commit."""
        await editor.upload("kb", {"c.txt": "婚假十天。".encode()})
        async with services.database.write() as session:
            document = (await session.scalars(select(Document).where(Document.file_name == "c.txt"))).one()
            kb = (await session.scalars(select(KnowledgeBase))).one()
        far = await services.embedders.get("far")
        fingerprint = (await services.embedders.fingerprint(far)).to_json()
        assert editor.worker is not None
        real = editor.worker._ingest._embedding.embed

        async def late(*args: Any, **options: Any) -> Any:
            vectors = await real(*args, **options)
            async with services.database.write() as session:
                row = await session.get_one(KnowledgeBase, kb.id)
                row.embed_model, row.fingerprint = "far", fingerprint
            return vectors

        monkeypatch.setattr(editor.worker._ingest._embedding, "embed", late)
        assert await editor.worker.step()
        async with services.database.read() as session:
            row = await session.get_one(Document, document.id)
        assert row.state == "embedding", "not ready with vectors of a model that is not the knowledge base's"
        assert not list(services.settings.server.data_dir.rglob(f"{document.id}*.npy"))
