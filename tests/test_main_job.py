"""The main job over HTTP: upload real documents of every kind, ask, get a streamed answer with its sources."""

import io
import json
import re
from collections import Counter
from typing import Any

import openpyxl
import pytest

from server.llm.quote_model import NOTHING_FOUND
from tests.conftest import ROOT, SHARED, Callers
from tests.support.api import Caller, objects, sse_events
from tests.support.samples import every_kind

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

LEAVE = "员工年假规定：工作满一年不满十年的，年休假五天；满十年不满二十年的，年休假十天。\n差旅住宿标准为每晚四百元。"
HANDBOOK = ROOT / "knowledge_base" / "samples" / "handbook"
QUESTIONS: list[dict[str, Any]] = json.loads(
    (ROOT / "tests" / "data" / "handbook_questions.json").read_text("utf-8")
)


@pytest.mark.database
async def test_upload_ask_and_cite(editor: Caller, reader: Caller) -> None:
    await editor.create_kb("制度")
    documents = await editor.ingest("制度", {"制度.txt": LEAVE.encode("gb18030")})
    assert documents["制度.txt"]["state"] == "ready"
    answer, docs = await reader.ask("制度", "工作十二年的员工年假有几天？")
    assert "十天" in answer
    assert "[1]" in answer
    assert docs[0].startswith(
        "出处 [1] [制度.txt](http://127.0.0.1:7861/knowledge_base/download_doc?knowledge_base_name="
    )
    assert "满十年不满二十年" in docs[0]


async def test_the_stream_is_the_contracts(editor: Caller, reader: Caller) -> None:
    """Objects one after the other: pieces of the answer, the citations last."""
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": LEAVE.encode()})
    body = {"query": "差旅住宿标准是多少？", "knowledge_base_name": "kb", "stream": True}
    answer = await reader.post("/chat/knowledge_base_chat", body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = objects(answer.text)
    assert len(found) > 2
    assert all(set(item) == {"answer"} for item in found[:-1])
    assert set(found[-1]) == {"docs", "chat_history_id"}
    whole = await reader.post("/chat/knowledge_base_chat", body | {"stream": False})
    (only,) = objects(whole.text)
    assert only["answer"] == "".join(item["answer"] for item in found[:-1])
    assert only["docs"] == found[-1]["docs"]


async def test_server_sent_events(editor: Caller, reader: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": LEAVE.encode()})
    body = {"query": "差旅住宿标准是多少？", "knowledge_base_name": "kb"}
    answer = await reader.post("/chat/knowledge_base_chat", body, headers={"Accept": "text/event-stream"})
    events = sse_events(answer.text)
    names = [name for name, _ in events]
    assert names[:2] == ["started", "sources"]
    assert names[-1] == "finished"
    assert set(names[2:-1]) == {"delta"}
    (hit, *_) = events[1][1]["hits"]
    assert (hit["number"], hit["file_name"], hit["place"]) == (1, "a.txt", "a.txt")
    assert 0 <= hit["score"] < 1
    assert "四百元" in "".join(data["text"] for name, data in events if name == "delta")
    ids = [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]
    assert ids == [str(n) for n in range(1, len(events) + 1)]


async def test_nothing_fits(editor: Caller, reader: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": LEAVE.encode()})
    answer, _ = await reader.ask("kb", "公司食堂周三有什么菜？")
    assert answer == NOTHING_FOUND.zh
    await editor.create_kb("empty")
    answer, docs = await reader.ask("empty", "年假几天？")
    assert answer == NOTHING_FOUND.zh
    assert docs == ["<span style='color:red'>未找到相关文档</span>"]
    english, _ = await reader.ask("kb", "What is on the menu on Wednesday?")
    assert english == NOTHING_FOUND.en


async def test_a_question_that_comes_before_the_documents_are_read(editor: Caller, reader: Caller) -> None:
    await editor.create_kb()
    await editor.upload("kb", {"a.txt": LEAVE.encode(), "b.txt": "差旅".encode()})
    answer, docs = await reader.ask("kb", "年假几天？")
    assert answer == "知识库里还有 2 个文件正在处理，请等它们就绪后再问一次。"
    assert docs == [
        "<span style='color:red'>未找到相关文档</span>",
        "还有 2 个文件正在处理，完成后请再问一次",
    ]


async def test_without_a_model_the_chat_says_how_to_get_one(reader: Caller) -> None:
    answer = await reader.post("/chat/chat", {"query": "你好", "stream": True})
    found = objects(answer.text)
    assert "管理员" in "".join(item["text"] for item in found)
    assert {tuple(sorted(item)) for item in found} == {("chat_history_id", "text")}
    assert len({item["chat_history_id"] for item in found}) == 1


class TestHandbook:
    """The sample knowledge base: four kinds of files, questions with known answers and known places."""

    @pytest.fixture
    async def handbook(self, editor: Caller) -> dict[str, dict[str, Any]]:
        await editor.create_kb("handbook")
        files = {path.name: path.read_bytes() for path in sorted(HANDBOOK.iterdir()) if path.suffix != ".csv"}
        return await editor.ingest("handbook", files)

    async def test_answers_citations_and_honesty(self, handbook, reader: Caller) -> None:
        assert len(handbook) == 4
        assert {document["state"] for document in handbook.values()} == {"ready"}
        told: dict[str, Counter[str]] = {"tuning": Counter(), "held-out": Counter()}
        for row in QUESTIONS:
            answer = await reader.post(
                "/chat/knowledge_base_chat",
                {"query": row["query"], "knowledge_base_name": "handbook"},
                headers={"Accept": "text/event-stream"},
            )
            events = sse_events(answer.text)
            text = "".join(data["text"] for name, data in events if name == "delta")
            told[row["part"]][_verdict(row, text, events[1][1]["hits"])] += 1
        # 39 questions with an answer and 10 without, 31 and 8. Retrieval misses one of those with an answer.
        tuning, held_out = told["tuning"], told["held-out"]
        assert tuning["right first"] >= 35
        assert tuning["wrong"] <= 4
        assert tuning["rightly refused"] >= 9
        assert held_out["right first"] >= 26
        assert held_out["right first"] + held_out["right"] >= 29
        assert held_out["wrong"] <= 1
        assert held_out["rightly refused"] >= 7

    async def test_the_questions_that_the_page_suggests(self, handbook, reader: Caller) -> None:
        """All ten are answered by the first quote."""
        suggested = (HANDBOOK / "questions.csv").read_text("utf-8-sig").split()[1:]
        rows = {row["query"]: row for row in QUESTIONS}
        for question in suggested:
            answer, _ = await reader.ask("handbook", question)
            assert rows[question]["answer"] in _NUMBER.split(answer)[0], question


_NUMBER = re.compile(r"\[(\d+)\]")


def _verdict(row: dict[str, Any], text: str, hits: list[dict[str, Any]]) -> str:
    """What became of a question. Right is a quote with the answer that cites the place where it stands."""
    if text == NOTHING_FOUND.zh:
        return "rightly refused" if row["answer"] is None else "wrongly refused"
    if row["answer"] is None:
        return "made up"
    right = {str(hit["number"]) for hit in hits if _is_place(hit, row) and row["answer"] in hit["text"]}
    parts = _NUMBER.split(text)
    quotes = [
        row["answer"] in quoted and number in right
        for quoted, number in zip(parts[::2], parts[1::2], strict=False)
    ]
    return "right first" if quotes[0] else "right" if any(quotes) else "wrong"


def _is_place(hit: dict[str, Any], row: dict[str, Any]) -> bool:
    anchor = hit["anchor"]
    return (
        hit["file_name"] == row["file"]
        and anchor.get("page") == row.get("page", anchor.get("page"))
        and anchor.get("sheet") == row.get("sheet", anchor.get("sheet"))
        and str(anchor.get("heading", "")).endswith(row.get("heading", ""))
    )


def _first_rows(workbook: bytes, rows: int) -> bytes:
    book = openpyxl.load_workbook(io.BytesIO(workbook))
    for sheet in book:
        sheet.delete_rows(rows + 1, sheet.max_row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


@pytest.mark.one_database
async def test_real_files(editor: Caller, reader: Caller) -> None:
    folder = SHARED / "data" / "documents"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/documents")
    names = [
        "langchain-ChatGLM_closed.csv",
        "langchain-ChatGLM_closed.jsonl",
        "langchain-ChatGLM_open.xlsx",
        "ocr_test.pdf",
    ]
    files = {name: (folder / name).read_bytes() for name in names}
    files["book.txt"] = (folder / "test.txt").read_bytes()[:3000]
    # All of it is embedded, which is what takes long.
    files["langchain-ChatGLM_open.xlsx"] = _first_rows(files["langchain-ChatGLM_open.xlsx"], 60)
    files["langchain-ChatGLM_closed.jsonl"] = b"\n".join(
        files["langchain-ChatGLM_closed.jsonl"].splitlines()[:20]
    )
    files["langchain-ChatGLM_closed.csv"] = b"\n".join(
        files["langchain-ChatGLM_closed.csv"].splitlines()[:20]
    )
    await editor.create_kb("issues")
    documents = await editor.ingest("issues", files)
    assert {document["state"] for document in documents.values()} == {"ready"}
    assert documents["langchain-ChatGLM_open.xlsx"]["chunks"] >= 50
    hits = await reader.search("issues", "当前的运行环境是 windows 还是 Linux", top_k=5)
    assert {hit["metadata"]["source"] for hit in hits} & {
        "langchain-ChatGLM_closed.csv",
        "langchain-ChatGLM_closed.jsonl",
    }
    row = next(hit for hit in hits if hit["metadata"]["source"].startswith("langchain-ChatGLM_closed"))
    assert "windows" in row["page_content"]
    assert row["metadata"]["row"]


@pytest.mark.database
async def test_every_format_and_encoding(editor: Caller, reader: Caller) -> None:
    """Each file says one thing of its own; each is found by asking for it, with its place."""
    files = every_kind()
    await editor.create_kb("formats")
    documents = await editor.ingest("formats", {name: data for name, (data, _, _) in files.items()})
    assert {name: row["state"] for name, row in documents.items()} == dict.fromkeys(files, "ready"), documents
    for name, (_, question, place) in files.items():
        hits = await reader.search("formats", question, top_k=3)
        found = next((hit for hit in hits if hit["metadata"]["source"] == name), None)
        assert found is not None, (name, [hit["metadata"]["source"] for hit in hits])
        assert found["metadata"] | place == found["metadata"], name


async def test_someone_elses_chat_does_not_exist(callers: Callers) -> None:
    one, two = await callers.user("acme", "u1"), await callers.user("acme", "u2")
    session = "a" * 32
    first = await one.post("/chat/chat", {"query": "你好", "session_id": session})
    assert first.status_code == 200
    message = first.json()["chat_history_id"]
    assert (await two.post("/chat/chat", {"query": "你好", "session_id": session})).status_code == 404
    assert (await two.post("/chat/chat", {"query": "你好", "chat_history_id": message})).status_code == 404
    again = await one.post("/chat/chat", {"query": "你好", "session_id": session, "chat_history_id": message})
    assert again.json()["chat_history_id"] == message


@pytest.mark.parametrize(
    "fields",
    [
        {"query": ""}, {"query": " "}, {"temperature": 1.1}, {"temperature": -0.1}, {"max_tokens": "all"}, {"stream": "maybe"},
        {"history": [{"role": "robot", "content": "x"}]}, {"history": [{"role": ["user"], "content": "x"}]}, {"history": [{"role": "user"}]}, {"session_id": "x" * 31},
        {"history": [["user"]]}, {"query": True}, {"query": "x" * 9000},
    ],
)  # fmt: skip
async def test_bad_chat_requests(reader: Caller, fields: dict[str, Any]) -> None:
    answer = await reader.post("/chat/chat", {"query": "你好", **fields})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_input"), answer.text


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"model_name": "gpt-9"}, "model_not_found"),
        ({"prompt_name": "none"}, "prompt_not_found"),
        ({"prompt_name": "../x"}, "prompt_not_found"),
    ],
)
async def test_unknown_models_and_prompts_name_what_there_is(
    reader: Caller, fields: dict[str, Any], code: str
) -> None:
    answer = await reader.post("/chat/chat", {"query": "你好", **fields})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)
    assert ("quote" if "model_name" in fields else "default") in answer.json()["msg"]


async def test_asking_an_unknown_knowledge_base(reader: Caller) -> None:
    answer = await reader.post(
        "/chat/knowledge_base_chat", {"query": "你好", "knowledge_base_name": "none", "stream": True}
    )
    assert (answer.status_code, answer.json()["msg"]) == (404, "未找到知识库 none")
