"""The contract as a table: path × case → status, envelope, fields; and the calls of the original page, one after the other.

A case that is here is what a program written for chat2llm sends; what it would have done there is in the contract's §1.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from server.auth.principal import Role
from server.auth.secret_files import make_secret_file
from server.core.settings import Settings
from tests.conftest import Callers, test_settings
from tests.support.api import Caller

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

SESSION = "0123456789abcdef0123456789abcdef"
KB = {"knowledge_base_name": "kb"}
TEXT = "员工工作满一年，年休假五天。\n"


@dataclass(frozen=True)
class Case:
    """One call and what comes of it."""

    call: str
    body: Any = None
    status: int = 200
    # Fields of `data`, or of its first item.
    fields: tuple[str, ...] = ()
    # What the message says.
    says: str = ""
    # The answer is no envelope but this type.
    bare: type | None = None


CASES = [
    # 1.2 Chat
    Case("POST /chat/chat", {"query": "年假几天？"}, fields=("text", "chat_history_id"), bare=dict),
    Case("POST /chat/chat", {}, 422),
    Case("POST /chat/chat", {"query": "x", "temperature": 1.5}, 422),
    Case("POST /chat/chat", {"query": "x", "session_id": "short"}, 422),
    Case("POST /chat/chat", {"query": "x", "model_name": "nothing"}, 404, says="nothing"),
    Case("POST /chat/chat", {"query": "x", "prompt_name": "nothing"}, 404, says="nothing"),
    Case("POST /chat/knowledge_base_chat", KB | {"query": "年假几天？"}, fields=("answer", "docs"), bare=dict),
    Case("POST /chat/knowledge_base_chat", {"knowledge_base_name": "no", "query": "x"}, 404, says="未找到知识库 no"),
    Case("POST /chat/knowledge_base_chat", KB | {"query": "x", "score_threshold": 2.5}, 422),
    Case("POST /chat/search_engine_chat", {"query": "x", "search_engine_name": "no"}, 404, says="未支持搜索引擎 no"),
    Case("POST /chat/search_engine_chat", {"query": "x", "search_engine_name": "bing"}, 404, says="bing"),
    Case("POST /chat/agent_chat", {"query": "年假几天？"}, fields=("answer", "final_answer"), bare=dict),
    Case("POST /chat/fastchat", {"messages": [{"role": "user", "content": "hello"}]}, bare=str),
    Case("POST /chat/feedback", {"chat_history_id": "f" * 32, "score": 80, "reason": ""}, 404),
    Case("POST /chat/feedback", {"chat_history_id": "f" * 32, "score": 101}, 422),
    # 1.3 Models, server, other
    Case("POST /llm_model/list_running_models", {}),
    Case("POST /llm_model/list_config_models"),
    Case("POST /llm_model/get_model_config", {"model_name": "quote", "placeholder": ""}),
    Case("POST /llm_model/stop", {"model_name": "quote"}, 403),
    Case("POST /llm_model/change", {"model_name": "quote", "new_model_name": "x"}, 403),
    Case("POST /server/configs", fields=("controller_address", "openai_api_address", "api_address"), bare=dict),
    Case("POST /server/list_search_engines"),
    Case("POST /server/get_prompt_template", {"type": "llm_chat", "name": "default"}, bare=str),
    Case("POST /server/get_prompt_template", {"type": "llm_chat", "name": "nothing"}, 404),
    Case("POST /other/completion", {"query": "年假"}, bare=str),
    Case("POST /other/embed_texts", {"texts": ["年假"]}),
    # 1.4 Knowledge bases
    Case("GET /knowledge_base/list_knowledge_bases"),
    Case(
        "GET /knowledge_base/list_knowledge_bases_v2",
        fields=("kb_name", "kb_zh_name", "kb_info", "vs_type", "embed_model", "file_count", "create_time"),
    ),
    Case("POST /knowledge_base/create_knowledge_base", KB | {"kb_zh_name": "", "kb_info": ""}, 409, says="kb"),
    Case("POST /knowledge_base/delete_knowledge_base", "nothing", 404, says="未找到知识库 nothing"),
    Case("POST /knowledge_base/update_zh_name", KB | {"kb_zh_name": "手册"}, fields=("kb_zh_name",)),
    Case("POST /knowledge_base/update_info", KB | {"kb_info": "规定"}, fields=("kb_info",)),
    Case("GET /knowledge_base/list_files?knowledge_base_name=kb"),
    Case("GET /knowledge_base/list_files?knowledge_base_name=no", status=404),
    Case("POST /knowledge_base/search_docs", KB | {"query": "年假", "score_threshold": 1}, bare=list,
         fields=("page_content", "metadata", "score")),
    Case("POST /knowledge_base/update_docs", KB | {"file_names": ["a.txt"], "docs": "{}"}, fields=("failed_files",)),
    Case("POST /knowledge_base/delete_docs", KB | {"file_names": ["no.txt"]}, 404, fields=("failed_files",)),
    Case("GET /knowledge_base/download_doc?knowledge_base_name=kb&file_name=a.txt", bare=str),
    Case("GET /knowledge_base/download_doc?knowledge_base_name=kb&file_name=no.txt", status=404),
    Case("POST /knowledge_base/recreate_vector_store", {"knowledge_base_name": "no"}, 404),
    # 1.5 Users, sessions, history, questions
    Case("GET /user/info", fields=("client_id", "user_id", "username", "enable", "create_time")),
    Case("POST /session/save", {"session_id": SESSION, "session_name": "年假", "mode": "LLM", "param": {}}),
    Case("POST /session/save", {"session_id": "short", "session_name": "n", "mode": "LLM", "param": {}}, 422),
    Case("GET /session/list"),
    Case("POST /session/delete", "f" * 32),
    Case("POST /history/latest", {"session_id": SESSION, "num": 2}),
    Case("GET /recommend/question?num=6"),
    Case("POST /recommend/question", {"query": "年假几天？", "kb_name": "kb"}),
]  # fmt: skip


def _name(case: Case) -> str:
    return f"{case.call.partition('?')[0]} {case.status} {json.dumps(case.body, ensure_ascii=False)[:40]}"


def _settings(folder: Path, database_url: str, **environ: str) -> Settings:
    make_secret_file(folder / "data" / "secrets" / "master.key", "0" * 64)
    return test_settings(folder / "data", database_url, **environ)


@pytest.fixture
async def somebody(callers: Callers, editor: Caller) -> Caller:
    """A manager of a client with one knowledge base and one document in it."""
    await editor.create_kb()
    assert (await editor.ingest("kb", {"a.txt": TEXT.encode()}))["a.txt"]["state"] == "ready"
    return await callers.user("acme", "u1", Role.MANAGER)


@pytest.mark.parametrize("case", CASES, ids=_name)
async def test_a_row(somebody: Caller, case: Case) -> None:
    method, path = case.call.split(" ")
    answer = await somebody.http.request(method, path, json=case.body)
    assert answer.status_code == case.status, answer.text
    if case.bare is str:
        assert answer.text.strip()
        return
    body = answer.json()
    if case.bare is not None:
        assert isinstance(body, case.bare)
    else:
        assert body["code"] == case.status
        assert ("error" in body) == (case.status >= 400)
        assert case.says in body["msg"]
        body = body["data"] if case.fields else body
    first = body[0] if isinstance(body, list) else body
    assert set(case.fields) <= set(first)


def test_every_path_of_the_contract_has_a_row() -> None:
    """The table of `acceptance/contract_paths.py`, which asks each of them from outside; uploads are in `somebody`."""
    rows = {case.call.partition("?")[0] for case in CASES}
    chats = {
        f"POST /chat/{name}" for name in ("chat", "knowledge_base_chat", "search_engine_chat", "agent_chat")
    }
    assert chats | {"POST /chat/fastchat", "POST /chat/feedback", "POST /other/completion"} <= rows
    assert len(rows) == 35


class TestOldPages:
    """`[compat] http_200_errors`: what is wrong stands in the body alone, as chat2llm's pages expect."""

    @pytest.fixture
    def settings(self, database_url: str, tmp_path: Path) -> Settings:
        return _settings(tmp_path, database_url, COMPAT__HTTP_200_ERRORS="true")

    async def test_business_errors_are_http_200(self, somebody: Caller, callers: Callers) -> None:
        answer = await somebody.post("/chat/knowledge_base_chat", {"knowledge_base_name": "no", "query": "x"})
        assert (answer.status_code, answer.json()["code"]) == (200, 404)
        assert (await somebody.post("/chat/chat", {})).status_code == 422
        assert (await callers.nobody().get("/user/info")).status_code == 401

    @pytest.mark.parametrize(
        ("name", "code"), [("../x", 403), ("/etc", 403), ("x" * 65, 403), ("", 404), ("none", 404)]
    )
    async def test_names_have_the_contracts_codes(self, somebody: Caller, name: str, code: int) -> None:
        """A refusal that is no HTTP 200 stops the page's axios."""
        named, path = {"knowledge_base_name": name}, "/knowledge_base/"
        answers = [
            await somebody.http.post(f"{path}delete_knowledge_base", json=name),
            await somebody.post(f"{path}update_info", named | {"kb_info": ""}),
            await somebody.post(f"{path}update_docs", named | {"file_names": []}),
            await somebody.post(f"{path}recreate_vector_store", named),
            await somebody.get(f"{path}download_doc", **named, file_name="a.txt"),
            listed := await somebody.get(f"{path}list_files", **named),
        ]
        if name:  # FastAPI takes an empty field of a form for none
            answers.append(await somebody.upload(name, {"a.txt": b"x"}))
        if name != "none":
            answers.append(
                made := await somebody.post(
                    f"{path}create_knowledge_base", named | {"kb_zh_name": "", "kb_info": ""}
                )
            )
            assert made.json()["error"]["code"] == "bad_kb_name"
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (200, code), (answer.url, answer.text)
            assert answer.json()["msg"].startswith("Don't attack me") == (code == 403)
        assert listed.json()["data"] == []
        searched = await somebody.post(f"{path}search_docs", named | {"query": "x"})
        assert (searched.status_code, searched.json()) == (200, [])

    async def test_a_name_that_is_taken(self, somebody: Caller) -> None:
        body = KB | {"kb_zh_name": "", "kb_info": ""}
        answer = await somebody.post("/knowledge_base/create_knowledge_base", body)
        assert (answer.status_code, answer.json()["code"]) == (200, 404)
        assert answer.json()["msg"] == "已存在同名知识库 kb"
        assert answer.json()["error"]["code"] == "already_exists"

    async def test_elsewhere_a_bad_name_is_just_not_there(self, somebody: Caller) -> None:
        answer = await somebody.post(
            "/chat/knowledge_base_chat", {"knowledge_base_name": "../x", "query": "x"}
        )
        assert (answer.status_code, answer.json()["code"]) == (200, 404)


async def test_true_statuses_without_it(somebody: Caller) -> None:
    for name in ("../x", "none"):
        for answer in (
            await somebody.http.post("/knowledge_base/delete_knowledge_base", json=name),
            await somebody.get("/knowledge_base/list_files", knowledge_base_name=name),
            await somebody.post("/knowledge_base/search_docs", {"knowledge_base_name": name, "query": "x"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (404, 404), answer.text


@pytest.mark.database
class TestTheOriginalPage:
    """§6.3, unchanged: no token on its streaming call, HTML in `history`, an odd number of messages, bare raw text."""

    @pytest.fixture
    def settings(self, database_url: str, tmp_path: Path) -> Settings:
        return _settings(tmp_path, database_url, H5__COOKIE="true")

    async def test_its_calls(self, callers: Callers, editor: Caller, address: str) -> None:
        await editor.create_kb()
        assert (await editor.ingest("kb", {"a.txt": TEXT.encode()}))["a.txt"]["state"] == "ready"
        token = await callers.token("acme", "u1", "张三")
        page = callers.nobody(Api_Token=token)
        assert (await page.get("/api/user/info")).json()["data"]["username"] == "张三"
        (kb,) = (await page.get("/api/knowledge_base/list_knowledge_bases_v2")).json()["data"]
        assert kb["kb_name"] == "kb"
        assert (await page.get("/api/session/list")).json()["data"] == []
        # Its browser came in with a cookie; its fetch() sends no header.
        fetch = callers.nobody(Origin=address)
        opened = await fetch.post("/api/auth/session", {"api_token": token, "cookie": True})
        assert opened.status_code == 200, opened.text
        ask = {
            "session_id": SESSION, "query": "年假几天？", "stream": True, "temperature": 0, "max_tokens": 2000,
            "prompt_name": "default", "history_count": 5, "knowledge_base_name": "kb", "top_k": 3,
            "score_threshold": 1, "split_result": False,
            "history": [
                {"role": "assistant", "content": "<p>你好，<b>请问</b>有什么事？</p>"},
                {"role": "user", "content": "报销"},
                {"role": "assistant", "content": ""},
            ],
        }  # fmt: skip
        answer = await fetch.post("/api/chat/knowledge_base_chat", ask)
        assert answer.status_code == 200, answer.text
        # Its own way of reading: `}{` is where one object ends and the next begins.
        parts = json.loads(f"[{answer.text.replace('}{', '},{')}]")
        assert "五天" in "".join(part.get("answer", "") for part in parts)
        (docs,) = [part["docs"] for part in parts if "docs" in part]
        assert re.match(r"出处 \[1\] \[a\.txt\]\(http\S+download_doc\?\S+\) \n\n", docs[0])
        param = {
            name: ask[name]
            for name in ("temperature", "history_count", "score_threshold", "knowledge_base_name")
        }
        saved = {
            "session_id": SESSION,
            "session_name": "年假几天？",
            "mode": "Knowledge",
            "param": param | {"query": None},
        }
        assert (await page.post("/api/session/save", saved)).json()["data"] is True
        (session,) = (await page.get("/api/session/list")).json()["data"]
        assert (session["session_id"], session["session_name"]) == (SESSION, "年假几天？")
        (record,) = (await page.post("/api/history/latest", {"session_id": SESSION, "num": 2})).json()["data"]
        assert (record["query"], record["docs"]) == ("年假几天？", docs)
        assert (await page.get("/api/recommend/question", num=6)).status_code == 200
        assert (await page.get("/api/recommend/question", num=1, kb_name="")).status_code == 200
        gone = await page.http.post(
            "/api/session/delete",
            content=SESSION,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        assert gone.json()["data"] is True
        assert (await page.get("/api/session/list")).json()["data"] == []
        assert (await page.post("/api/history/latest", {"session_id": SESSION, "num": 2})).json()[
            "data"
        ] == []
