"""Values as programs written for chat2llm send them: from ini files, PHP, the shell. pydantic 1 took them."""

import json
from typing import Any

import pytest

from tests.support.api import Caller

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database

A = "a" * 32
CHAT, KB_CHAT, SEARCH = "/chat/chat", "/chat/knowledge_base_chat", "/knowledge_base/search_docs"
KB: dict[str, Any] = {"knowledge_base_name": "kb", "query": "年假几天？"}
OLD: list[tuple[str, dict[str, Any]]] = [
    (KB_CHAT, KB | {"top_k": "3", "temperature": "0.7", "score_threshold": "0.5", "stream": "true"}),
    (KB_CHAT, KB | {"top_k": 3.0, "temperature": 1, "stream": 1, "history_count": "5"}),
    (KB_CHAT, KB | {"top_k": 5000, "max_tokens": -1}),
    (SEARCH, KB | {"top_k": "3", "score_threshold": "1"}),
    (SEARCH, KB | {"top_k": 51, "query": 123}),
    (CHAT, {"query": 123}),
    (CHAT, {"query": "x", "max_tokens": 0, "chat_history_id": ""}),
    (CHAT, {"query": "x", "max_tokens": "2000", "history": [["user", None], ["system", "x"]]}),
    (CHAT, {"query": "x", "history": [{"role": "user", "content": 5}, {"role": "assistant", "content": 6}]}),
    ("/chat/fastchat", {"messages": [{"content": 5}], "n": "1", "temperature": "0", "stream": "no"}),
    ("/other/completion", {"query": 5, "echo": "yes", "max_tokens": 0}),
    ("/other/embed_texts", {"texts": [5], "to_query": "false"}),
    ("/knowledge_base/update_info", {"knowledge_base_name": "kb", "kb_info": 5}),
    ("/knowledge_base/create_knowledge_base", {"knowledge_base_name": 2024, "chunk_size": "100"}),
    ("/session/save", {"session_id": A, "session_name": 5, "mode": "LLM", "param": {}}),
    ("/history/latest", {"session_id": A, "num": "5"}),
    ("/history/latest", {"session_id": A, "num": 1000}),
    ("/recommend/question", {"query": 5, "enable": "1"}),
    ("/server/get_prompt_template", {}),
    ("/llm_model/get_model_config", {"model_name": "quote", "placeholder": 5}),
]


@pytest.mark.one_database
async def test_they_are_taken(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    for path, body in OLD:
        answer = await editor.post(path, body)
        assert answer.status_code == 200, (path, body, answer.text)
    assert (await editor.get("/recommend/question", num=1000)).status_code == 200


@pytest.mark.one_database
async def test_what_newer_paths_are_sent_says_what_it_means(editor: Caller) -> None:
    """Beside the contract nothing is guessed."""
    await editor.create_kb()
    for path, body in (
        ("/knowledge_base/rename", {"knowledge_base_name": "kb", "new_name": 5}),
        ("/auth/ticket", {"user_id": 5}),
    ):
        assert (await editor.post(path, body)).status_code == 422, path


async def test_a_template_is_told_without_a_body(editor: Caller) -> None:
    for path in ("/server/get_prompt_template", "/server/list_prompt_templates"):
        answer = await editor.http.post(path)
        assert answer.status_code == 200, answer.text
    assert (await editor.http.post("/server/get_prompt_template")).json() == (
        await editor.post("/server/get_prompt_template", {"type": "llm_chat", "name": "default"})
    ).json()


async def test_a_byte_order_mark_is_passed_over(editor: Caller) -> None:
    """PowerShell and C# begin with one."""
    body = json.dumps({"knowledge_base_name": "kb"}).encode("utf-8-sig")
    header = {"Content-Type": "application/json"}
    made = await editor.http.post("/knowledge_base/create_knowledge_base", content=body, headers=header)
    assert made.status_code == 200, made.text
    for name in (b"\xef\xbb\xbfkb", b'\xef\xbb\xbf"none"'):
        gone = await editor.http.post("/knowledge_base/delete_knowledge_base", content=name)
        assert gone.json()["code"] == (200 if name.endswith(b"kb") else 404), gone.text


@pytest.mark.parametrize(
    "body", [b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b'{"a": "\\ud800"}', b"\xff\xfe{"]
)
async def test_what_is_no_json_has_one_status(editor: Caller, body: bytes) -> None:
    answer = await editor.http.post(CHAT, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "bad_json")


async def test_a_long_question_is_counted_in_characters(editor: Caller) -> None:
    answer = await editor.post("/recommend/question", {"query": "长" * 201})
    assert answer.status_code == 422
    assert "200 characters" in answer.json()["msg"]
