"""Every form of every answer, byte for byte, as tests/chat/wire/ has it: pages and scripts read these.

To accept a change, delete the file: the next run writes it anew, and fails so that somebody looks at it.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Caller

# Its SQL is that of other tests, too: SQLite is enough.
pytestmark = pytest.mark.one_database

FOLDER = Path(__file__).parent / "wire"
SSE = {"Accept": "text/event-stream"}
QUESTION = {"query": "年假有几天？", "chat_history_id": "m" * 32, "session_id": "s" * 32}
# Says always the same; prompts have a fence that is drawn by lot.
PLAIN = {"model_name": "agent"}
CALLS = '请查 <<[[["calculator", {"expression": "6*7"}], ["knowledge_search", {"query": "年假"}]]]>>'
BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/chat/chat", QUESTION),
    "chat-failed": ("/chat/chat", QUESTION | {"model_name": "cut"}),
    "knowledge_base_chat": ("/chat/knowledge_base_chat", QUESTION | PLAIN | {"knowledge_base_name": "kb"}),
    "knowledge_base_chat-failed": (
        "/chat/knowledge_base_chat",
        QUESTION | {"knowledge_base_name": "kb", "model_name": "cut"},
    ),
    "search_engine_chat": (
        "/chat/search_engine_chat",
        QUESTION | PLAIN | {"search_engine_name": "searxng", "top_k": 2},
    ),
    "agent_chat": ("/chat/agent_chat", QUESTION | {"query": CALLS, "model_name": "agent"}),
    "agent_chat-failed": ("/chat/agent_chat", QUESTION | {"model_name": "cut"}),
    "fastchat": ("/chat/fastchat", {"messages": [{"role": "user", "content": "你好"}]}),
    "fastchat-failed": ("/chat/fastchat", {"messages": [{}], "model": "cut"}),
    "completion": ("/other/completion", {"query": "床前明月光", "echo": True}),
    "completion-failed": ("/other/completion", {"query": "床前明月光", "model_name": "cut"}),
}
# What is another at each run.
_CHANGING = (
    (r'"(document_id|request_id)":( ?)"[^"]*"', r'"\1":\2"…"'),
    (r'"chunk_id": \d+', '"chunk_id": 0'),
    (r'"score": [\d.]+', '"score": 0'),
)


@pytest.mark.parametrize("form", ["legacy", "sse", "whole"])
@pytest.mark.parametrize("name", BODIES)
async def test_the_form_is_as_recorded(editor: Caller, name: str, form: str) -> None:
    if name.startswith(("knowledge", "agent")):
        await editor.create_kb()
        await editor.ingest("kb", {"手册.txt": "年假：员工每年有十天年假。".encode()})
    path, body = BODIES[name]
    answer = await editor.post(path, body | {"stream": form != "whole"}, headers=SSE if form == "sse" else {})
    text = f"{answer.status_code} {answer.headers['content-type']}\n\n{answer.text}"
    for pattern, shown in _CHANGING:
        text = re.sub(pattern, shown, text)
    record = FOLDER / f"{name}.{form}.txt"
    if not record.exists():
        FOLDER.mkdir(exist_ok=True)
        record.write_text(text, encoding="utf-8")
        pytest.fail(f"{record} is new: look at it, and run again")
    assert text == record.read_text(encoding="utf-8")


def test_no_record_is_left_over() -> None:
    expected = {f"{name}.{form}.txt" for name in BODIES for form in ("legacy", "sse", "whole")}
    assert {path.name for path in FOLDER.iterdir()} == expected
