"""Knowledge bases and documents over HTTP: the contract's paths, who may what, and what bad input gets."""

import asyncio
import gzip
import io
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from server.app import create_app
from server.auth.principal import Principal
from server.core.errors import KBNotFound
from server.kb import loaders
from server.kb.models import Document, KnowledgeBase
from server.kb.uploads import Upload
from server.services import Services
from tests.conftest import Callers, test_settings
from tests.support.api import Caller

CREATE = "/knowledge_base/create_knowledge_base"
DELETE = "/knowledge_base/delete_knowledge_base"


def _body(name: str = "kb", **fields: object) -> dict[str, object]:
    return {"knowledge_base_name": name, "kb_zh_name": "制度", "kb_info": "公司制度", **fields}


async def test_create_list_delete(editor: Caller) -> None:
    made = await editor.post(CREATE, _body("制度库"))
    assert (made.status_code, made.json()) == (200, {"code": 200, "msg": "已新增知识库 制度库", "data": None})
    listed = await editor.get("/knowledge_base/list_knowledge_bases")
    assert listed.json() == {"code": 200, "msg": "success", "data": ["制度库"]}
    (row,) = (await editor.get("/knowledge_base/list_knowledge_bases_v2")).json()["data"]
    assert {
        key: row[key] for key in ("kb_name", "kb_zh_name", "kb_info", "vs_type", "embed_model", "file_count")
    } == {
        "kb_name": "制度库",
        "kb_zh_name": "制度",
        "kb_info": "公司制度",
        "vs_type": "faiss",
        "embed_model": "e5-small",
        "file_count": 0,
    }
    assert row["create_time"]
    deleted = await editor.http.post(DELETE, json="制度库")
    assert (deleted.status_code, deleted.json()["msg"]) == (200, "成功删除知识库 制度库")
    assert (await editor.get("/knowledge_base/list_knowledge_bases")).json()["data"] == []
    assert (await editor.post(CREATE, _body("制度库"))).status_code == 200, "the name is free again"


@pytest.mark.one_database
@pytest.mark.parametrize("form", ["json", "raw", "form-urlencoded", "object"])
async def test_delete_takes_the_name_in_every_form(editor: Caller, form: str) -> None:
    await editor.create_kb("库 1")
    if form == "json":
        answer = await editor.http.post(DELETE, json="库 1")
    elif form == "object":
        answer = await editor.http.post(DELETE, json={"knowledge_base_name": "库 1"})
    else:
        kind = "text/plain" if form == "raw" else "application/x-www-form-urlencoded"
        answer = await editor.http.post(DELETE, content="库 1".encode(), headers={"Content-Type": kind})
    assert answer.status_code == 200, answer.text
    assert (await editor.http.post(DELETE, json="库 1")).status_code == 404


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 422),
        ("[]", 422),
        ("{}", 422),
        ('{"knowledge_base_name": 5}', 422),
        ('"\\ud800"', 422),
        ('{"knowledge_base_name": "\\ud800"}', 422),
        ('{"knowledge_base_name": "a", "knowledge_base_name": "b"}', 422),
        ("[" * 100_000, 422),
        ('"kb', 422),
        ("x" * 65, 422),
        ("null", 404),
    ],
)
async def test_delete_without_a_name(editor: Caller, body: str, status: int) -> None:
    answer = await editor.http.post(DELETE, content=body.encode())
    assert answer.status_code == status, answer.text


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (_body("a/b"), 422, "bad_kb_name"),
        (_body("../x"), 422, "bad_kb_name"),
        (_body("a\nb"), 422, "bad_kb_name"),
        (_body("x" * 65), 422, "bad_kb_name"),
        (_body(""), 422, "bad_kb_name"),
        (_body(vector_store_type="es"), 422, "invalid_input"),
        (_body(embed_model="text2vec"), 404, "model_not_found"),
        (_body(embed_model="m3e-base"), 503, "embedding_unavailable"),
        (_body(kb_info="x" * 201), 422, "invalid_input"),
        ({}, 422, "invalid_input"),
        ([], 422, "invalid_input"),
    ],
)
async def test_what_cannot_be_created(editor: Caller, body: object, status: int, code: str) -> None:
    answer = await editor.post(CREATE, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert answer.json()["code"] == status
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]


@pytest.mark.one_database
async def test_a_missing_model_says_where_to_put_it(editor: Caller) -> None:
    answer = await editor.post(CREATE, _body(embed_model="m3e-base"))
    assert "embeddings/models/m3e-base" in answer.json()["msg"]
    english = await editor.post(CREATE, _body(embed_model="m3e-base"), headers={"Accept-Language": "en"})
    assert "put the whole sentence-transformers folder" in english.json()["msg"]


async def test_a_name_is_taken_once_also_in_parallel(editor: Caller) -> None:
    answers = await asyncio.gather(*(editor.post(CREATE, _body()) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409, 409, 409]
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 409} == {"already_exists"}


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 422),
        (b'{"a": NaN}', 422),
        (b'{"knowledge_base_name": "x", "knowledge_base_name": "y"}', 422),
        (b'{"knowledge_base_name": "\\ud800"}', 422),
        (b'{"knowledge_base_name": "\\u0000"}', 422),
        (b"\xff\xfe{", 422),
        (b"[" * 50_000, 422),
        (b"", 422),
        (b'"x"', 422),
    ],
)
async def test_bodies_that_are_no_json(editor: Caller, body: bytes, status: int) -> None:
    answer = await editor.http.post(CREATE, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] == status


@pytest.mark.one_database
async def test_json_that_does_not_say_so_is_json(editor: Caller) -> None:
    body = b'{"knowledge_base_name": "kb", "kb_zh_name": "", "kb_info": ""}'
    answer = await editor.http.post(CREATE, content=body)
    assert "content-type" not in answer.request.headers
    assert answer.status_code == 200, answer.text


async def test_unknown_fields_of_old_pages_are_ignored(editor: Caller) -> None:
    assert (await editor.post(CREATE, _body(id="kb_x", client_id="other", whatever=1))).status_code == 200
    async with asyncio.timeout(30):
        assert (await editor.get("/knowledge_base/list_knowledge_bases")).json()["data"] == ["kb"]


@pytest.mark.parametrize("is_loaded", [False, True])
async def test_one_that_is_deleted_before_it_is_searched(
    editor: Caller, services: Services, is_loaded: bool
) -> None:
    """Not an answer that nothing was found."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    caller = Principal("acme", "u1", "", frozenset())
    kb = await services.kb.get(caller, "kb")
    if is_loaded:
        assert (await services.kb.search_in(kb, "年假", viewer=None, top_k=3, threshold=2))[0]
    await editor.post("/knowledge_base/delete_knowledge_base", "kb")
    with pytest.raises(KBNotFound):
        await services.kb.search_in(kb, "年假", viewer=None, top_k=3, threshold=2)


async def test_another_clients_knowledge_base_does_not_exist(callers: Callers, editor: Caller) -> None:
    await editor.create_kb("ours")
    await editor.ingest("ours", {"a.txt": "年假五天。".encode()})
    await callers.client("rival")
    rival = await callers.key("rival", "chat", "kb:read", "kb:write")
    name = {"knowledge_base_name": "ours"}
    job = (await editor.get("/jobs")).json()["data"]["items"][0]["job_id"]
    tries = [
        await rival.get("/knowledge_base/list_files", **name),
        await rival.get("/knowledge_base/documents", **name),
        await rival.get("/knowledge_base/download_doc", **name, file_name="a.txt"),
        await rival.post("/knowledge_base/search_docs", {"query": "年假", **name}),
        await rival.post("/chat/knowledge_base_chat", {"query": "年假", **name}),
        await rival.post("/knowledge_base/delete_docs", {"file_names": ["a.txt"], **name}),
        await rival.upload("ours", {"b.txt": b"x"}),
        await rival.http.post(DELETE, json="ours"),
        await rival.get("/jobs", **name),
        await rival.get(f"/jobs/{job}"),
    ]
    assert [answer.status_code for answer in tries] == [404] * len(tries)
    assert (await rival.get("/jobs")).json()["data"]["total"] == 0
    # The same name of one's own is another knowledge base.
    assert (await rival.post(CREATE, _body("ours"))).status_code == 200
    assert await rival.documents("ours") == {}
    assert list(await editor.documents("ours")) == ["a.txt"]


async def test_a_shared_one_is_read_by_all_and_changed_by_its_owner(
    callers: Callers, editor: Caller, services: Services
) -> None:
    from sqlalchemy import update

    from server.kb.models import KnowledgeBase

    await editor.create_kb("common")
    await editor.ingest("common", {"a.txt": "年假五天。".encode()})
    async with services.database.write() as session:
        await session.execute(update(KnowledgeBase).values(shared=True))
    await callers.client("guest")
    guest = await callers.key("guest", "chat", "kb:read", "kb:write")
    assert (await guest.search("common", "年假"))[0]["page_content"] == "年假五天。"
    for answer in (
        await guest.upload("common", {"b.txt": b"x"}),
        await guest.http.post(DELETE, json="common"),
        await guest.post(
            "/knowledge_base/delete_docs", {"knowledge_base_name": "common", "file_names": ["a.txt"]}
        ),
        await guest.get("/jobs", knowledge_base_name="common"),
    ):
        assert answer.status_code == 403
    assert (await guest.post(CREATE, _body("common"))).status_code == 200
    assert await guest.search("common", "年假") == [], "one's own comes before a shared one"


class TestUpload:
    async def test_the_answer_comes_before_the_work(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.upload(
            "kb", {"a.txt": "年假五天。".encode(), "b.md": "# 病假\n三天。".encode()}
        )
        assert answer.status_code == 200
        data = answer.json()["data"]
        assert data["failed_files"] == {}
        assert [(row["file_name"], row["state"]) for row in data["documents"]] == [
            ("a.txt", "waiting"),
            ("b.md", "waiting"),
        ]
        assert await editor.search("kb", "年假") == []
        assert {document["state"] for document in (await editor.documents("kb")).values()} == {"waiting"}
        assert (await editor.get("/knowledge_base/list_files", knowledge_base_name="kb")).json()["data"] == [
            "a.txt",
            "b.md",
        ]

    async def test_one_bad_file_fails_alone(self, editor: Caller) -> None:
        await editor.create_kb()
        files = {
            "good.txt": "年假五天。".encode(),
            "empty.txt": b"",
            "fake.pdf": b"no pdf",
            "x.exe": b"MZ",
            "../up.txt": b"x",
        }
        answer = await editor.upload("kb", files)
        assert answer.status_code == 200
        failed = answer.json()["data"]["failed_files"]
        assert set(failed) == set(files) - {"good.txt"}
        assert "空" in failed["empty.txt"]
        assert ".pdf" in failed["fake.pdf"]
        assert list(await editor.documents("kb")) == ["good.txt"]

    @pytest.mark.parametrize(
        ("name", "data", "status", "code"),
        [
            ("empty.txt", b"", 422, "empty_file"),
            ("fake.pdf", b"no pdf", 415, "type_mismatch"),
            ("x.zip", b"PK\x03\x04", 415, "unsupported_file"),
            ("fake.xls", b"\xd0\xcf\x11\xe0", 415, "type_mismatch"),
            ("noextension", b"x", 415, "unsupported_file"),
            ("a.txt.", b"x", 400, "bad_filename"),
            ("CON.txt", b"x", 400, "bad_filename"),
            ("名" * 70 + ".txt", b"x", 400, "name_too_long"),
        ],
    )
    async def test_a_single_bad_file_gets_the_true_status(
        self, editor: Caller, services: Services, name: str, data: bytes, status: int, code: str
    ) -> None:
        await editor.create_kb()
        answer = await editor.upload("kb", {name: data})
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        assert list(answer.json()["data"]["failed_files"]) == [name]
        assert await editor.documents("kb") == {}
        assert [
            path
            for path in services.settings.server.data_dir.rglob("*")
            if path.is_file() and path.parent.name == "content"
        ] == []

    @pytest.mark.parametrize("suffix", [".rtf", ".msg"])
    async def test_what_needs_the_full_installation_is_refused_without_it(
        self, editor: Caller, monkeypatch: pytest.MonkeyPatch, suffix: str
    ) -> None:
        monkeypatch.setattr(loaders, "is_full", lambda: False)
        await editor.create_kb()
        answer = await editor.upload("kb", {f"a{suffix}": b"x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_file")
        assert "make run FULL=1" in answer.json()["msg"]

    @pytest.mark.one_database
    async def test_documents_that_cannot_be_read_fail_with_a_reason(self, editor: Caller) -> None:
        await editor.create_kb()
        documents = await editor.ingest(
            "kb", {"a.txt": b"   \n ", "b.json": b"{oops", "c.txt": "年假".encode()}
        )
        assert documents["a.txt"]["error_code"] == "no_text"
        assert documents["b.json"]["state"] == "failed"
        assert documents["b.json"]["reason"]
        assert documents["c.txt"]["state"] == "ready"
        (job,) = [j for j in (await editor.get("/jobs")).json()["data"]["items"] if j["file_name"] == "a.txt"]
        assert (job["state"], job["error_code"]) == ("failed", "no_text")

    async def test_the_same_name_twice_in_one_upload(self, editor: Caller) -> None:
        await editor.create_kb()
        parts = [("files", (name, b"x")) for name in ("a.txt", "A.TXT")]
        answer = await editor.http.post(
            "/knowledge_base/upload_docs", data={"knowledge_base_name": "kb"}, files=parts
        )
        assert list(answer.json()["data"]["failed_files"]) == ["A.TXT"]
        assert len(await editor.documents("kb")) == 1

    async def test_fifty_at_once_under_one_name(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        contents = [f"第{n}版".encode() * (n + 1) for n in range(50)]
        answers = await asyncio.gather(*(editor.upload("kb", {"a.txt": content}) for content in contents))
        won = [
            content for content, answer in zip(contents, answers, strict=True) if answer.status_code == 200
        ]
        assert len(won) == 1
        assert {answer.status_code for answer in answers} == {200, 409}
        assert editor.worker is not None
        await editor.worker.run_until_idle()
        got = await editor.get("/knowledge_base/download_doc", knowledge_base_name="kb", file_name="a.txt")
        assert got.content == won[0]
        assert len(list(services.settings.server.data_dir.rglob("content/*"))) == 1

    async def test_existing_files_and_override(self, editor: Caller) -> None:
        """The contract's rule: same size without override is refused; anything else replaces."""
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        again = await editor.upload("kb", {"a.txt": "年假六天。".encode()})
        assert (again.status_code, again.json()["error"]["code"]) == (409, "already_exists")
        same = await editor.upload("kb", {"a.txt": "年假五天。".encode()}, override=True)
        assert same.json()["data"]["documents"][0]["job_id"] is None, "the same bytes again change nothing"
        other = await editor.upload("kb", {"a.txt": "年假六天。".encode()}, override=True)
        assert other.json()["data"]["documents"][0]["job_id"]
        longer = await editor.upload("kb", {"a.txt": "年假七天，另有病假。".encode()})
        assert (longer.status_code, longer.json()["error"]["code"]) == (409, "in_progress")

    async def test_the_old_version_is_found_until_the_new_one_is_ready(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        await editor.upload("kb", {"a.txt": "年假六天，病假三天。".encode()})
        rows = (await editor.get("/knowledge_base/documents", knowledge_base_name="kb")).json()["data"][
            "items"
        ]
        assert [(row["state"], row["replaces_ready_version"]) for row in rows] == [
            ("ready", False),
            ("waiting", True),
        ]
        assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["年假五天。"]
        assert editor.worker is not None
        await editor.worker.run_until_idle()
        assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["年假六天，病假三天。"]
        assert len(await editor.documents("kb")) == 1

    async def test_a_broken_replacement_leaves_the_old_version_alone(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.json": '["年假五天"]'.encode()})
        await editor.upload("kb", {"a.json": b"{oops"})
        assert editor.worker is not None
        await editor.worker.run_until_idle()
        rows = (await editor.get("/knowledge_base/documents", knowledge_base_name="kb")).json()["data"][
            "items"
        ]
        assert [row["state"] for row in rows] == ["ready", "failed"]
        assert "年假五天" in (await editor.search("kb", "年假"))[0]["page_content"]
        await editor.ingest("kb", {"a.json": '["年假九天"]'.encode()}, override=True)
        rows = (await editor.get("/knowledge_base/documents", knowledge_base_name="kb")).json()["data"][
            "items"
        ]
        assert [row["state"] for row in rows] == ["ready"]

    async def test_a_failed_file_may_be_uploaded_again(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.json": b"{oops"})
        documents = await editor.ingest("kb", {"a.json": b'["x"]2'[:5]})
        assert documents["a.json"]["state"] == "ready"

    @pytest.mark.one_database
    @pytest.mark.parametrize(
        "fields",
        [
            {"chunk_size": 5},
            {"chunk_size": 100, "chunk_overlap": 100},
            {"override": "maybe"},
            {"chunk_size": 10**9},
            {"chunk_overlap": -1},
            {"docs": '{"a.txt": []}'},
        ],
    )
    async def test_bad_fields(self, editor: Caller, fields: dict[str, object]) -> None:
        await editor.create_kb()
        answer = await editor.upload("kb", {"a.txt": b"x"}, **fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input")

    async def test_small_passages_alone_are_enough_to_ask_for(self, editor: Caller) -> None:
        await editor.create_kb()
        documents = await editor.ingest("kb", {"a.txt": ("每条都要遵守。" * 20).encode()}, chunk_size=30)
        assert documents["a.txt"]["chunks"] > 3
        refused = await editor.upload("kb", {"b.txt": b"x"}, chunk_overlap=250)
        assert refused.json()["msg"] == "chunk_overlap（250）必须小于 chunk_size（250）"

    async def test_chunking_is_as_asked(self, editor: Caller) -> None:
        await editor.create_kb()
        text = "年假的规定有很多条，每一条都要遵守。" * 40
        documents = await editor.ingest(
            "kb", {"a.txt": text.encode(), "b.txt": text.encode()}, chunk_size=60, chunk_overlap=10
        )
        assert documents["a.txt"]["chunks"] > 10
        assert all(len(hit["page_content"]) <= 60 for hit in await editor.search("kb", "年假", top_k=50))

    async def test_only_stored(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.upload("kb", {"a.txt": "年假".encode()}, to_vector_store=False)
        assert answer.json()["data"]["documents"][0]["state"] == "stored"
        assert editor.worker is not None
        assert not await editor.worker.step()
        assert (await editor.get("/knowledge_base/list_files", knowledge_base_name="kb")).json()["data"] == []
        assert (await editor.documents("kb"))["a.txt"]["state"] == "stored"

    async def test_an_unknown_knowledge_base(self, editor: Caller) -> None:
        answer = await editor.upload("nowhere", {"a.txt": b"x"})
        assert (answer.status_code, answer.json()["msg"]) == (404, "未找到知识库 nowhere")

    @pytest.mark.parametrize("moment", ["before", "between file and row"])
    async def test_the_knowledge_base_is_deleted_meanwhile(
        self, editor: Caller, services: Services, monkeypatch: pytest.MonkeyPatch, moment: str
    ) -> None:
        await editor.create_kb()
        async with services.database.read() as session:
            kb = (await session.scalars(select(KnowledgeBase))).one()
        real = services.kb.uploads._register

        async def late(*args, **options):
            assert (await editor.http.post(DELETE, json="kb")).status_code == 200
            return await real(*args, **options)

        if moment == "before":
            await editor.http.post(DELETE, json="kb")
        else:
            monkeypatch.setattr(services.kb.uploads, "_register", late)
        upload = Upload("a.txt", 1, io.BytesIO(b"x"))
        with pytest.raises(KBNotFound):
            await services.kb.uploads.take(kb, upload, services.kb.choose_chunking())
        assert list(services.settings.server.data_dir.glob("kb_*")) == []

    async def test_without_files(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.http.post("/knowledge_base/upload_docs", data={"knowledge_base_name": "kb"})
        assert answer.status_code == 422


class TestLimits:
    @pytest.fixture
    def settings(self, database_url: str, tmp_path: Path):
        import secrets

        from server.auth.secret_files import make_secret_file

        make_secret_file(tmp_path / "data" / "secrets" / "master.key", secrets.token_hex(32))
        limits = {
            "KB__MAX_FILE_SIZE": "10KiB",
            "KB__MAX_UPLOAD_SIZE": "40KiB",
            "KB__MAX_UPLOAD_FILES": "3",
            "INGEST__MAX_QUEUE": "2",
        }
        return test_settings(tmp_path / "data", database_url, SERVER__MAX_JSON_SIZE="4KiB", **limits)

    @pytest.mark.one_database
    async def test_a_large_file_is_refused_and_small_ones_go_on(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.upload("kb", {"big.txt": b"x" * 11_000, "small.txt": b"x"})
        assert list(answer.json()["data"]["failed_files"]) == ["big.txt"]
        alone = await editor.upload("kb", {"big.txt": b"x" * 11_000})
        assert (alone.status_code, alone.json()["error"]["code"]) == (413, "too_large")

    async def _begin(
        self, editor: Caller, address: str, length: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """An upload of which only the head is sent."""
        host, port = address.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        credential = editor.http.headers.get("authorization", "")
        head = f"POST /knowledge_base/upload_docs HTTP/1.1\r\nHost: x\r\nAuthorization: {credential}\r\n"
        writer.write(f"{head}Content-Type: multipart/form-data; boundary=b\r\n{length}\r\n\r\n".encode())
        await writer.drain()
        return reader, writer

    @pytest.mark.one_database
    async def test_a_large_upload_is_refused_before_it_is_read(self, editor: Caller, address: str) -> None:
        await editor.create_kb()
        reader, writer = await self._begin(editor, address, "Content-Length: 1000000000")
        assert b"413" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        writer.close()

    @pytest.mark.one_database
    async def test_an_upload_of_unknown_length_is_cut(self, editor: Caller, address: str) -> None:
        await editor.create_kb()
        reader, writer = await self._begin(editor, address, "Transfer-Encoding: chunked")
        start = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
        try:
            writer.write(f"{len(start):x}\r\n".encode() + start + b"\r\n")
            for _ in range(60):
                writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            pass  # cut while we were still sending
        assert b"413" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        writer.close()

    @pytest.mark.one_database
    async def test_an_unknown_caller_uploads_nothing(self, callers: Callers, address: str) -> None:
        reader, writer = await self._begin(callers.nobody(), address, "Content-Length: 30000")
        assert b"401" in await asyncio.wait_for(reader.readuntil(b"\r\n"), 30)
        writer.close()

    @pytest.mark.one_database
    async def test_too_many_files(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.upload("kb", {f"{n}.txt": b"x" for n in range(4)})
        assert answer.status_code == 413
        assert await editor.documents("kb") == {}

    async def test_a_full_queue(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.upload("kb", {"a.txt": b"x", "b.txt": b"x"})
        answer = await editor.upload("kb", {"c.txt": b"x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_requests")
        assert int(answer.headers["retry-after"]) > 0

    @pytest.mark.one_database
    async def test_large_json(self, editor: Caller) -> None:
        answer = await editor.post(
            "/knowledge_base/search_docs", {"query": "x" * 5000, "knowledge_base_name": "kb"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.one_database
class TestForms:
    """What is sent in place of a form."""

    async def _send(
        self, editor: Caller, *parts: bytes, end: bytes = b"--b--\r\n", headers: dict[str, str] | None = None
    ):
        body = b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + end
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        path = "/knowledge_base/upload_docs"
        return await editor.http.post(path, content=body, headers=kind | (headers or {}))

    NAME = b'name="knowledge_base_name"\r\n\r\nkb'

    @staticmethod
    def _file(name: bytes) -> bytes:
        return b'name="files"; filename="' + name + b'"\r\n\r\nx'

    async def test_an_upload_that_broke_off_loses_nothing_in_silence(self, editor: Caller) -> None:
        await editor.create_kb()
        parts = (self.NAME, self._file(b"a.txt"), self._file(b"b.txt"))
        answer = await self._send(editor, *parts, end=b"")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "upload_broken")
        assert "上传中断" in answer.json()["msg"]
        english = await self._send(editor, *parts, end=b"--b-", headers={"Accept-Language": "en"})
        assert english.json()["msg"] == "the upload broke off; send it again"
        assert await editor.documents("kb") == {}
        assert (await self._send(editor, *parts)).status_code == 200
        assert len(await editor.documents("kb")) == 2

    @pytest.mark.parametrize(
        "name", ["年假.txt".encode("gb18030"), b"\xff.txt", rb"C:\Windows\x.txt", rb"\\host\share\x.txt"]
    )
    async def test_names_that_cannot_be_read_or_kept(self, editor: Caller, name: bytes) -> None:
        await editor.create_kb()
        answer = await self._send(editor, self.NAME, self._file(name))
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_filename")
        assert await editor.documents("kb") == {}

    async def test_a_name_with_folders(self, editor: Caller) -> None:
        await editor.create_kb()
        assert (await self._send(editor, self.NAME, self._file("2024/年假.txt".encode()))).status_code == 200
        assert list(await editor.documents("kb")) == ["2024/年假.txt"]
        where = {"knowledge_base_name": "kb", "file_name": "2024/年假.txt"}
        answer = await editor.get("/knowledge_base/download_doc", **where)
        assert answer.headers["content-disposition"].endswith("''%E5%B9%B4%E5%81%87.txt")
        body = {"knowledge_base_name": "kb", "file_names": ["2024/年假.txt"], "delete_content": True}
        assert (await editor.post("/knowledge_base/delete_docs", body)).status_code == 200
        assert await editor.documents("kb") == {}

    async def test_a_name_in_the_charset_that_the_form_declares(self, editor: Caller) -> None:
        await editor.create_kb()
        kind = {"Content-Type": "multipart/form-data; boundary=b; charset=gb18030"}
        answer = await self._send(editor, self.NAME, self._file("年假.txt".encode("gb18030")), headers=kind)
        assert answer.status_code == 200
        assert list(await editor.documents("kb")) == ["年假.txt"]

    async def test_too_many_files_or_fields(self, editor: Caller) -> None:
        await editor.create_kb()
        files = [self._file(b"%d.txt" % n) for n in range(101)]
        fields = [b'name="x"\r\n\r\n1'] * 60
        for parts, words in (files, "一次最多上传 100 个文件"), (fields, "表单最多 50 个字段"):
            answer = await self._send(editor, self.NAME, *parts)
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
            assert answer.json()["msg"] == words
        urlencoded = await editor.http.post(
            "/knowledge_base/upload_docs", data={str(n): "1" for n in range(60)}
        )
        assert (urlencoded.status_code, urlencoded.json()["msg"]) == (413, "表单最多 50 个字段")

    async def test_a_form_that_is_none(self, editor: Caller) -> None:
        kind = {"Content-Type": "multipart/form-data"}
        answer = await self._send(editor, self.NAME, headers=kind)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")

    async def test_a_large_field(self, editor: Caller) -> None:
        answer = await self._send(editor, b'name="x"\r\n\r\n' + b"x" * 5_000_000)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

    @pytest.mark.parametrize("path", ["upload_docs", "search_docs"])
    async def test_a_compressed_body(self, editor: Caller, path: str) -> None:
        headers = {"Content-Encoding": "gzip"}
        answer = await editor.http.post(
            f"/knowledge_base/{path}", content=gzip.compress(b"{}"), headers=headers
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (415, "unsupported_encoding")


class TestDelete:
    async def test_with_and_without_content(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        await editor.ingest(
            "kb",
            {"a.txt": "年假五天。".encode(), "b.txt": "病假三天。".encode(), "c.txt": "婚假十天。".encode()},
        )
        name = {"knowledge_base_name": "kb"}
        answer = await editor.post(
            "/knowledge_base/delete_docs",
            {**name, "file_names": ["a.txt", "none.txt"], "delete_content": True},
        )
        assert (answer.status_code, answer.json()["msg"]) == (200, "文件删除完成")
        assert answer.json()["data"]["failed_files"] == {"none.txt": "未找到文件 none.txt"}
        await editor.post("/knowledge_base/delete_docs", {**name, "file_names": ["b.txt"]})
        assert {hit["metadata"]["source"] for hit in await editor.search("kb", "假", top_k=10)} == {"c.txt"}
        assert {n: d["state"] for n, d in (await editor.documents("kb")).items()} == {
            "b.txt": "stored",
            "c.txt": "ready",
        }
        assert (await editor.get("/knowledge_base/list_files", **name)).json()["data"] == ["c.txt"]
        kept = await editor.get("/knowledge_base/download_doc", **name, file_name="b.txt")
        assert kept.content == "病假三天。".encode()
        assert (
            await editor.get("/knowledge_base/download_doc", **name, file_name="a.txt")
        ).status_code == 404
        assert len(list(services.settings.server.data_dir.rglob("*.npy"))) == 1

    async def test_nothing_found(self, editor: Caller) -> None:
        await editor.create_kb()
        answer = await editor.post(
            "/knowledge_base/delete_docs", {"knowledge_base_name": "kb", "file_names": ["x"]}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "document_not_found")
        assert list(answer.json()["data"]["failed_files"]) == ["x"]

    async def test_a_deleted_knowledge_base_leaves_no_file(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        await editor.http.post(DELETE, json="kb")
        assert [path.name for path in services.settings.server.data_dir.iterdir()] == ["secrets"]
        async with services.database.read() as session:
            from sqlalchemy import select

            assert list(await session.scalars(select(Document))) == []


@pytest.mark.one_database
class TestDownload:
    async def test_the_bytes_and_safe_headers(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.upload(
            "kb", {"制度 (1).txt": "年假".encode("gb18030"), "page.html": b"<script>alert(1)</script>"}
        )
        answer = await editor.get(
            "/knowledge_base/download_doc", knowledge_base_name="kb", file_name="制度 (1).txt"
        )
        assert answer.content == "年假".encode("gb18030")
        assert unquote(answer.headers["content-disposition"]) == "attachment; filename*=UTF-8''制度 (1).txt"
        assert answer.headers["x-content-type-options"] == "nosniff"
        for preview in (True, False):
            page = await editor.get(
                "/knowledge_base/download_doc",
                knowledge_base_name="kb",
                file_name="page.html",
                preview=preview,
            )
            assert page.headers["content-disposition"].startswith("attachment")
            assert page.headers["content-type"] == "application/octet-stream"
        shown = await editor.get(
            "/knowledge_base/download_doc", knowledge_base_name="kb", file_name="制度 (1).txt", preview=True
        )
        assert shown.headers["content-disposition"].startswith("inline")
        assert "sandbox" in shown.headers["content-security-policy"]

    @pytest.mark.parametrize("preview", [True, False])
    async def test_what_a_browser_has_is_not_sent_again(
        self, editor: Caller, callers: Callers, preview: bool
    ) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": b"0123456789"})
        path = "/knowledge_base/download_doc"
        query: dict[str, Any] = {"knowledge_base_name": "kb", "file_name": "a.txt", "preview": preview}
        tag = (await editor.get(path, **query)).headers["etag"]
        for header in (tag, f'"x", W/{tag}', "*"):
            again = await editor.http.get(path, params=query, headers={"If-None-Match": header})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        head = await editor.http.head(path, params=query)
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "10")
        assert (await callers.nobody().http.head(path, params=query)).status_code == 401
        await editor.ingest("kb", {"a.txt": b"other"}, override=True)
        other = await editor.http.get(path, params=query, headers={"If-None-Match": tag})
        assert other.status_code == 200

    async def test_a_part_of_a_file(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.upload("kb", {"a.txt": b"0123456789"})
        query = {"knowledge_base_name": "kb", "file_name": "a.txt"}
        part = await editor.http.get(
            "/knowledge_base/download_doc", params=query, headers={"Range": "bytes=2-4"}
        )
        assert (part.status_code, part.content) == (206, b"234")
        many = ",".join(f"{n}-{n}" for n in range(5000))
        assert (
            await editor.http.get(
                "/knowledge_base/download_doc", params=query, headers={"Range": f"bytes={many}"}
            )
        ).status_code < 500

    async def test_a_page_reads_a_pdf_by_pieces(
        self, callers: Callers, editor: Caller, reader: Caller
    ) -> None:
        """As pdf.js does by fetch: the credential in either header, a session's secret as well as a token."""
        data = b"%PDF-1.7\n" + bytes(range(256)) * 1000
        await editor.create_kb()
        await editor.upload("kb", {"手册.pdf": data})
        session = (await reader.post("/auth/session")).json()["data"]["session_token"]
        query = {"knowledge_base_name": "kb", "file_name": "手册.pdf"}
        for secret in (session, await callers.token("acme", "u1")):
            for headers in ({"Authorization": f"Bearer {secret}"}, {"Api-Token": secret}):
                page = callers.nobody(**headers)
                whole = await page.get("/knowledge_base/download_doc", **query, preview="true")
                assert (whole.content, whole.headers["content-type"]) == (data, "application/pdf")
                assert whole.headers["content-length"] == str(len(data))
                assert "content-encoding" not in whole.headers
                part = await page.http.get(
                    "/knowledge_base/download_doc", params=query, headers={"Range": "bytes=65536-131071"}
                )
                assert (part.status_code, part.content) == (206, data[65536:131072])
                assert part.headers["content-range"] == f"bytes 65536-131071/{len(data)}"
        assert (await callers.nobody().get("/knowledge_base/download_doc", **query)).status_code == 401

    @pytest.mark.parametrize(
        ("header", "status", "content"),
        [
            ("bytes=0-3", 206, b"0123"),
            ("bytes=7-", 206, b"789"),
            ("bytes=-2", 206, b"89"),
            ("bytes=8-99", 206, b"89"),
            ("bytes=10-", 416, None),
            ("bytes=5-2", 400, None),
        ],
    )
    async def test_ranges(self, editor: Caller, header: str, status: int, content: bytes | None) -> None:
        await editor.create_kb()
        await editor.upload("kb", {"a.txt": b"0123456789"})
        query = {"knowledge_base_name": "kb", "file_name": "a.txt"}
        whole = await editor.http.get("/knowledge_base/download_doc", params=query)
        assert whole.headers["accept-ranges"] == "bytes"
        assert whole.headers["etag"]
        assert whole.headers["last-modified"]
        asked = {"Range": header, "If-Range": whole.headers["etag"]}
        part = await editor.http.get("/knowledge_base/download_doc", params=query, headers=asked)
        assert part.status_code == status
        if content is not None:
            assert part.content == content
            assert part.headers["content-range"].endswith("/10")
        asked["If-Range"] = '"another"'
        other = await editor.http.get("/knowledge_base/download_doc", params=query, headers=asked)
        assert (other.status_code, other.content) == (200, b"0123456789")

    @pytest.mark.parametrize(
        ("name", "content", "saved", "shown"),
        [
            ("a.txt", "年假".encode(), "text/plain; charset=utf-8", True),
            ("a.txt", "年假".encode("gb18030"), "text/plain; charset=gb18030", True),
            ("a.txt", "年假".encode("utf-16"), "text/plain; charset=utf-16", True),
            ("a.csv", "名,价".encode(), "text/csv; charset=utf-8", True),
            ("a.md", b"# x", "text/markdown; charset=utf-8", True),
            ("a.json", b'["x"]', "application/json", True),
            ("a.html", b"<script>alert(1)</script>", "application/octet-stream", False),
            ("a.pdf", b"%PDF-1.4", "application/pdf", True),
        ],
    )
    async def test_media_types(
        self, editor: Caller, name: str, content: bytes, saved: str, shown: bool
    ) -> None:
        await editor.create_kb()
        assert (await editor.upload("kb", {name: content})).status_code == 200
        path, query = "/knowledge_base/download_doc", {"knowledge_base_name": "kb", "file_name": name}
        file = await editor.get(path, **query)
        assert file.headers["content-type"] == saved
        assert file.headers["content-disposition"].startswith("attachment")
        preview = await editor.get(path, **query, preview=True)
        assert preview.headers["x-content-type-options"] == "nosniff"
        assert preview.headers["content-disposition"].startswith("inline" if shown else "attachment")
        kind = preview.headers["content-type"].partition(";")[0]
        assert kind in ("text/plain", "application/pdf" if shown else "application/octet-stream")

    @pytest.mark.parametrize("name", ["../../secrets/master.key", "/etc/passwd", "none.txt", ""])
    async def test_nothing_else_is_reached(self, editor: Caller, name: str) -> None:
        await editor.create_kb()
        answer = await editor.get("/knowledge_base/download_doc", knowledge_base_name="kb", file_name=name)
        assert answer.status_code == 404


class TestSearch:
    async def test_hits_and_their_score(self, editor: Caller, reader: Caller) -> None:
        await editor.create_kb()
        await editor.ingest(
            "kb",
            {
                "a.txt": "年假五天。".encode(),
                "b.csv": "项目,标准\n住宿,每晚四百元\n餐补,每天一百元\n".encode(),
            },
        )
        hits = await reader.search("kb", "住宿标准", top_k=3)
        assert [set(hit) for hit in hits] == [{"page_content", "metadata", "score", "marks"}] * 3
        assert "四百元" in hits[0]["page_content"]
        assert hits[0]["metadata"] | {"source": "b.csv", "row": 2} == hits[0]["metadata"]
        scores = [hit["score"] for hit in hits]
        assert scores == sorted(scores)
        assert 0 < scores[0] < 1
        close = await reader.search("kb", "住宿标准", top_k=3, score_threshold=(scores[0] + scores[1]) / 2)
        assert len(close) == 1
        assert len(await reader.search("kb", "住宿标准", top_k=2)) == 2

    async def test_the_score_is_the_squared_distance(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        embedder = await services.embedders.get("e5-small")
        expected = float(
            ((embedder.embed_question("年假") - embedder.embed_passages(["a\n年假五天。"])[0]) ** 2).sum()
        )
        assert (await editor.search("kb", "年假"))[0]["score"] == pytest.approx(expected, abs=1e-4)

    @pytest.mark.one_database
    @pytest.mark.parametrize(
        "fields",
        [
            {"query": ""},
            {"query": "  "},
            {"query": "a\0b"},
            {"top_k": 0},
            {"top_k": "many"},
            {"top_k": 1.5},
            {"score_threshold": -1},
            {"score_threshold": 1.1},
        ],
    )
    async def test_bad_questions(self, editor: Caller, fields: dict[str, object]) -> None:
        await editor.create_kb()
        body = {"query": "年假", "knowledge_base_name": "kb", **fields}
        assert (await editor.post("/knowledge_base/search_docs", body)).status_code == 422

    @pytest.mark.one_database
    async def test_a_long_question_is_refused_in_the_words_of_chat(self, editor: Caller) -> None:
        await editor.create_kb()
        body = {"query": "年" * 8001, "knowledge_base_name": "kb"}
        searched = await editor.post("/knowledge_base/search_docs", body)
        asked = await editor.post("/chat/knowledge_base_chat", body)
        assert (searched.status_code, searched.json()["error"]["code"]) == (422, "invalid_input")
        assert searched.json()["msg"] == asked.json()["msg"] == "问题过长：最多 8000 个字符"

    async def test_odd_questions(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        for query in ("😀", "？？？", "的", "x" * 8000, "%%%_", "' OR 1=1 --", "{{ 7*7 }}"):
            assert len(await editor.search("kb", query)) <= 1


@pytest.mark.one_database
class TestOldPages:
    """`[compat] http_200_errors`: business errors of the contract paths are HTTP 200 with the code in the body."""

    @pytest.fixture
    def app(self, settings) -> FastAPI:
        compat = settings.compat.model_copy(update={"http_200_errors": True})
        return create_app(settings.model_copy(update={"compat": compat}))

    async def test_codes_move_into_the_body(self, editor: Caller, callers: Callers) -> None:
        answer = await editor.get("/knowledge_base/list_files", knowledge_base_name="none")
        assert (answer.status_code, answer.json()["code"], answer.json()["msg"]) == (
            200,
            404,
            "未找到知识库 none",
        )
        assert (
            await callers.nobody().get("/knowledge_base/list_files", knowledge_base_name="none")
        ).status_code == 401
        assert (await editor.post("/knowledge_base/search_docs", {})).status_code == 422
        assert (await editor.get("/jobs/none")).status_code == 404, "newer paths tell the truth"


@pytest.mark.one_database
async def test_api_prefix_is_the_same_door(editor: Caller) -> None:
    assert (await editor.get("/api/knowledge_base/list_knowledge_bases")).json()["data"] == []
    assert (await editor.get("/api/health")).json() == {"status": "ok"}


async def test_a_nul_in_an_address(editor: Caller) -> None:
    for path in ("/knowledge_base/list_files?knowledge_base_name=a%00b", "/jobs/a%00b"):
        assert (await editor.http.get(path)).status_code == 400


@pytest.mark.one_database
async def test_unknown_paths_and_methods(editor: Caller) -> None:
    missing = await editor.get("/nowhere")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    wrong = await editor.get(CREATE)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


async def test_ready(callers: Callers) -> None:
    assert (await callers.nobody().get("/ready")).json() == {"status": "ready"}
