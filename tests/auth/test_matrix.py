"""Who may do what with whose things: every route of the API against every kind of caller.

What /admin does with other clients' things has a matrix of its own in tests/admin.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from server.auth.principal import ROLE_SCOPES, Role, Scope
from server.chat.models import Message
from server.core.configuration import load_settings
from server.core.settings import Settings
from server.evaluation.models import GoldQuestion, QuestionSet, Run
from server.evaluation.summary import summarise
from server.evaluation.wish import Wish
from server.kb.models import Chunk, Document, KnowledgeBase
from server.tables import Base
from tests.conftest import Callers
from tests.support.api import Caller
from tests.support.search_engines import Engines, search_engines

# Its SQL is that of other tests, too: SQLite is enough, but for what is marked otherwise.
pytestmark = pytest.mark.one_database

OWNER = "acme/reader"
FREE_ID = "f" * 32


@dataclass(frozen=True)
class Row:
    """A route with something of the owner's in it. Placeholders stand for what `Things` knows."""

    method: str
    path: str
    # None: any caller, for what is their own.
    scope: Scope | None
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    form: dict[str, str] | None = None
    # False: it belongs to all of the owner's client.
    personal: bool = False
    # How a caller is answered whose it is not; 200 only where the answer is that of a name nobody has.
    foreign: int = 404
    # … and the owner: let in, whatever may be missing behind the door.
    owner: tuple[int, ...] = (200, 202)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path} {'+'.join([*self.query, *(self.body or {})])}".strip()


def _chats() -> list[Row]:
    """The chats with another's conversation, another's question, and each beside an id that is free."""
    ids = [
        {"session_id": "{session}"},
        {"chat_history_id": "{message}"},
        {"session_id": "{session}", "chat_history_id": FREE_ID},
        {"session_id": FREE_ID, "chat_history_id": "{message}"},
    ]
    question = {"query": "年假"}
    rows = [Row("POST", "/chat/chat", Scope.CHAT, body=question | given, personal=True) for given in ids]
    rows += [
        Row("POST", "/chat/agent_chat", Scope.CHAT, body=question | given, personal=True) for given in ids
    ]
    on_the_web = question | {"search_engine_name": "searxng"}
    rows += [
        Row("POST", "/chat/search_engine_chat", Scope.CHAT, body=on_the_web | given, personal=True)
        for given in ids
    ]
    path = "/chat/knowledge_base_chat"
    in_own = {**question, "knowledge_base_name": "{own_kb}"}
    rows += [Row("POST", path, Scope.CHAT, body=in_own | given, personal=True) for given in ids]
    return [*rows, Row("POST", path, Scope.CHAT, body={**question, "knowledge_base_name": "{kb}"})]


KB = {"knowledge_base_name": "{kb}"}
EVALUATION, SET = "/knowledge_base/evaluation", {"set_id": "{set}"}
ROWS = [
    Row("GET", "/knowledge_base/list_files", Scope.KB_READ, KB),
    Row("GET", "/knowledge_base/documents", Scope.KB_READ, KB),
    Row("GET", "/knowledge_base/download_doc", Scope.KB_READ, KB | {"file_name": "a.txt"}),
    Row("GET", "/knowledge_base/passages", Scope.KB_READ, KB | {"file_name": "a.txt"}),
    Row("GET", "/knowledge_base/versions", Scope.KB_WRITE, KB | {"file_name": "a.txt"}),
    Row("GET", "/knowledge_base/compare_versions", Scope.KB_WRITE, KB | {"file_name": "m.txt", "old": "doc_m"}),
    # A file of the owner's has no content.
    Row("GET", "/knowledge_base/export", Scope.KB_WRITE, KB, owner=(409,)),
    Row("POST", "/knowledge_base/restore_version", Scope.KB_WRITE,
        body=KB | {"file_name": "m.txt", "document_id": "doc_m"}),
    Row("POST", "/knowledge_base/delete_version", Scope.KB_WRITE,
        body=KB | {"file_name": "m.txt", "document_id": "doc_m"}, owner=(409,)),
    Row("GET", "/knowledge_base/chunks", Scope.KB_WRITE, KB | {"file_name": "a.txt"}),
    Row("POST", "/knowledge_base/preview_chunks", Scope.KB_WRITE, form=KB),
    Row("POST", "/knowledge_base/update_chunk", Scope.KB_WRITE, body=KB | {"chunk_id": "1"}),
    Row("POST", "/knowledge_base/delete_chunk", Scope.KB_WRITE, body=KB | {"chunk_id": "1"}, owner=(409,)),
    Row("POST", "/knowledge_base/add_chunk", Scope.KB_WRITE,
        body=KB | {"file_name": "none.txt", "text": "x"}, owner=(404,)),
    Row("POST", "/knowledge_base/search_docs", Scope.KB_READ, body=KB | {"query": "年假"}),
    Row("POST", "/knowledge_base/explain", Scope.KB_READ, body=KB | {"query": "年假"}),
    Row("POST", "/knowledge_base/upload_docs", Scope.KB_WRITE, form=KB),
    Row("POST", "/knowledge_base/delete_docs", Scope.KB_WRITE, body=KB | {"file_names": ["a.txt"]}),
    Row("POST", "/knowledge_base/update_document", Scope.KB_WRITE,
        body=KB | {"file_name": "a.txt", "visible_to": ["x"]}),
    Row("POST", "/knowledge_base/update_docs", Scope.KB_WRITE, body=KB | {"file_names": []}),
    Row("POST", "/knowledge_base/update_zh_name", Scope.KB_WRITE, body=KB | {"kb_zh_name": "x"}),
    Row("POST", "/knowledge_base/update_info", Scope.KB_WRITE, body=KB | {"kb_info": "x"}),
    Row("POST", "/knowledge_base/update_chunking", Scope.KB_WRITE, body=KB | {"chunk_size": "100"}),
    Row("GET", "/knowledge_base/retrieval", Scope.KB_WRITE, query=KB),
    Row("POST", "/knowledge_base/update_retrieval", Scope.KB_WRITE, body=KB | {"words": 0.4}),
    Row("POST", "/knowledge_base/calibrate", Scope.KB_WRITE, body=KB, owner=(422,)),
    Row("POST", "/knowledge_base/rename", Scope.KB_WRITE, body=KB | {"new_name": "renamed"}),
    Row("POST", "/knowledge_base/recreate_vector_store", Scope.KB_WRITE, body=KB | {"allow_empty_kb": True}),
    Row("POST", "/knowledge_base/delete_knowledge_base", Scope.KB_WRITE, body=KB),
    Row("GET", "/jobs", Scope.KB_WRITE, KB),
    Row("GET", "/jobs/events", Scope.KB_WRITE, KB),
    Row("GET", "/jobs/{job}", Scope.KB_WRITE),
    Row("POST", "/jobs/{job}/cancel", Scope.KB_WRITE),
    Row("POST", "/jobs/{job}/retry", Scope.KB_WRITE),
    Row("POST", "/jobs/retry", Scope.KB_WRITE, body=KB),
    Row("GET", "/recommend/question", Scope.CHAT, {"num": "5", "kb_name": "{kb}"}, foreign=200),
    Row("POST", "/recommend/question", Scope.KB_WRITE, body={"question_id": "{question}", "query": "病假"}),
    Row("POST", "/recommend/question", Scope.KB_WRITE, body={"kb_name": "{kb}", "query": "病假"}),
    Row("GET", "/recommend/question/list", Scope.KB_WRITE, {"kb_name": "{kb}"}),
    Row("POST", "/recommend/question/import", Scope.KB_WRITE, form={"kb_name": "{kb}"}),
    Row("POST", f"{EVALUATION}/sets", Scope.KB_WRITE, body=KB | {"name": "x"}),
    Row("GET", f"{EVALUATION}/sets", Scope.KB_WRITE, KB),
    Row("POST", f"{EVALUATION}/sets/rename", Scope.KB_WRITE, body=SET | {"name": "x"}),
    Row("POST", f"{EVALUATION}/sets/delete", Scope.KB_WRITE, body=SET),
    Row("GET", f"{EVALUATION}/questions", Scope.KB_WRITE, SET),
    Row("POST", f"{EVALUATION}/questions", Scope.KB_WRITE, body=SET | {"question": "病假？"}),
    Row("POST", f"{EVALUATION}/questions/delete", Scope.KB_WRITE, body=SET | {"question_ids": [900]}),
    Row("GET", f"{EVALUATION}/rated_answers", Scope.KB_WRITE, SET),
    Row("POST", f"{EVALUATION}/questions/from_answer", Scope.KB_WRITE, body=SET | {"message_id": "{rated}"}),
    Row("POST", f"{EVALUATION}/questions/from_hit", Scope.KB_WRITE, body=SET | {"question": "病假？", "chunk_id": 1}),
    Row("POST", f"{EVALUATION}/import", Scope.KB_WRITE, form=SET),
    Row("GET", f"{EVALUATION}/export", Scope.KB_WRITE, SET),
    Row("POST", f"{EVALUATION}/runs", Scope.KB_WRITE, body=SET),
    Row("GET", f"{EVALUATION}/runs", Scope.KB_WRITE, SET),
    Row("GET", f"{EVALUATION}/runs/{{run}}", Scope.KB_WRITE),
    Row("GET", f"{EVALUATION}/runs/{{run}}/results", Scope.KB_WRITE),
    Row("POST", f"{EVALUATION}/runs/{{run}}/cancel", Scope.KB_WRITE),
    Row("POST", f"{EVALUATION}/runs/{{run}}/delete", Scope.KB_WRITE),
    Row("GET", f"{EVALUATION}/runs/{{run}}/report", Scope.KB_WRITE),
    Row("GET", f"{EVALUATION}/compare", Scope.KB_WRITE, {"base": "{run}", "other": "{run}"}),
    Row("DELETE", "/auth/sessions/{login}", None, personal=True),
    Row("POST", "/session/save", Scope.CHAT, body={"session_id": "{session}", "session_name": "x", "mode": "LLM"},
        personal=True),
    Row("POST", "/session/delete", Scope.CHAT, body={"session_id": "{session}"}, personal=True),
    Row("POST", "/session/pin", Scope.CHAT, body={"session_id": "{session}", "pinned": True}, personal=True),
    Row("POST", "/session/files", Scope.CHAT, form={"session_id": "{session}"}, personal=True),
    Row("GET", "/session/files", Scope.CHAT, {"session_id": "{session}"}, personal=True),
    Row("GET", "/session/files/content", Scope.CHAT, {"session_id": "{session}", "document_id": "{attached}"},
        personal=True),
    Row("GET", "/session/files/passages", Scope.CHAT, {"session_id": "{session}", "document_id": "{attached}"},
        personal=True),
    Row("POST", "/session/files/delete", Scope.CHAT, body={"session_id": "{session}", "document_id": "{attached}"},
        personal=True),
    Row("GET", "/session/export", Scope.CHAT, {"session_id": "{session}"}, personal=True),
    Row("POST", "/history/latest", Scope.CHAT, body={"session_id": "{session}", "num": 5}, personal=True, foreign=200),
    Row("POST", "/chat/feedback", Scope.CHAT, body={"chat_history_id": "{message}", "score": 1}, personal=True),
    Row("GET", "/chat/feedback/report", Scope.KB_WRITE, KB),
    *_chats(),
    *[Row("POST", "/chat/answers", Scope.CHAT, body={"query": "年假", "mode": "llm_chat"} | given, personal=True)
      for given in ({"message_id": "{message}", "session_id": FREE_ID}, {"message_id": FREE_ID, "session_id": "{session}"},
                    {"message_id": "{message}", "session_id": FREE_ID, "regenerate": True})],
    Row("GET", "/chat/answers/{message}", Scope.CHAT, personal=True),
    Row("GET", "/chat/answers/{message}/events", Scope.CHAT, personal=True),
    Row("GET", "/chat/answers/{message}/sources/{source}", Scope.CHAT, personal=True),
    Row("POST", "/chat/answers/{message}/stop", Scope.CHAT, personal=True),
    Row("GET", "/chat/answers/{message}/trace", Scope.CHAT, personal=True),
]  # fmt: skip
# Routes that name nothing of anybody's. A new route stands here or above, or the test below fails.
WITHOUT_IDS: dict[tuple[str, str], Scope | None] = {
    ("GET", "/knowledge_base/list_knowledge_bases"): Scope.KB_READ,
    ("GET", "/knowledge_base/list_knowledge_bases_v2"): Scope.KB_READ,
    ("POST", "/knowledge_base/create_knowledge_base"): Scope.KB_WRITE,
    ("POST", "/knowledge_base/import"): Scope.KB_WRITE,
    ("POST", "/llm_model/list_running_models"): None,  # one of two scopes: tests/catalog
    ("POST", "/llm_model/list_config_models"): None,
    ("POST", "/llm_model/get_model_config"): None,
    ("POST", "/llm_model/stop"): Scope.ADMIN,
    ("POST", "/llm_model/change"): Scope.ADMIN,
    ("POST", "/server/configs"): None,
    ("POST", "/other/embed_texts"): None,  # one of two scopes: tests/catalog
    ("GET", "/wecom/js-sdk-signature"): Scope.CHAT,
    ("POST", "/server/get_prompt_template"): Scope.CHAT,
    ("POST", "/server/list_prompt_templates"): Scope.CHAT,
    ("POST", "/server/list_search_engines"): Scope.CHAT,
    ("POST", "/chat/fastchat"): Scope.CHAT,
    ("POST", "/other/completion"): Scope.CHAT,
    ("GET", "/auth/sessions"): None,
    ("GET", "/user/info"): None,
    ("GET", "/session/list"): Scope.CHAT,
    ("DELETE", "/auth/session"): None,
}
NAMES_IN_PATHS = {
    "{job_id}": "{job}",
    "{session_id}": "{login}",
    "{message_id}": "{message}",
    "{number}": "{source}",
    "{run_id}": "{run}",
}


@dataclass
class Things:
    """What the owner has, and everybody who might want it."""

    callers: Callers
    everybody: dict[str, tuple[Caller, frozenset[Scope]]]
    values: dict[str, str]

    async def send(self, row: Row, who: str, caller: Caller) -> httpx2.Response:
        values = self.values | {"own_kb": f"kb-{who.partition('/')[0]}"}
        form = _fill(row.form, values)
        request = caller.http.build_request(
            row.method,
            _fill(row.path, values),
            params=_fill(row.query, values),
            json=_fill(row.body, values),
            data=form,
            files=[
                (name, ("b.txt", "query,question\n病假三天。,病假三天。".encode()))
                for name in ("files", "file")
            ]
            if form
            else None,
        )
        answer = await caller.http.send(request, stream=True)
        # The one ends when a worker has worked, the other when nobody reads it.
        is_endless = "/recreate" in row.path or row.path == "/jobs/events"
        if answer.status_code != 200 or not is_endless:
            await answer.aread()
        await answer.aclose()
        return answer

    async def state(self) -> dict[str, list[Any]]:
        """Every row of every table, except for when something was last used, and every file."""
        found: dict[str, list[Any]] = {}
        async with self.callers.services.database.read() as session:
            for table in Base.metadata.sorted_tables:
                columns = [column for column in table.columns if not column.name.startswith("last_used")]
                found[table.name] = sorted(map(repr, await session.execute(select(*columns))))
        folder = self.callers.services.settings.server.data_dir
        found["files"] = sorted(str(path) for path in folder.rglob("*"))
        return found


def _fill(given: Any, values: dict[str, str]) -> Any:
    if isinstance(given, dict):
        return {key: _fill(value, values) for key, value in given.items()}
    return given.format(**values) if isinstance(given, str) else given


@pytest.fixture(scope="module")
def web() -> Iterator[Engines]:
    with search_engines() as running:
        yield running


@pytest.fixture
def settings(settings: Settings, web: Engines) -> Settings:
    search = load_settings(environ=web.environ()).search
    return settings.model_copy(update={"search": search})


@pytest.fixture
async def things(callers: Callers) -> Things:
    await callers.client("other")
    everybody = {}
    for client in ("acme", "other"):
        for name, role in (
            ("reader", Role.READER),
            ("reader2", Role.READER),
            ("manager", Role.MANAGER),
            ("admin", Role.ADMIN),
        ):
            everybody[f"{client}/{name}"] = (await callers.user(client, name, role), ROLE_SCOPES[role])
        for scope in Scope:
            everybody[f"{client}/key:{scope}"] = (await callers.key(client, scope), frozenset({scope}))
        await everybody[f"{client}/manager"][0].create_kb(f"kb-{client}")
    for caller, _ in everybody.values():  # people come into being with their first call
        assert (await caller.get("/auth/sessions")).status_code == 200
    manager, owner = everybody["acme/manager"][0], everybody[OWNER][0]
    uploaded = (await manager.upload("kb-acme", {"a.txt": "年假五天。".encode()})).json()["data"]["documents"]
    question = await manager.post("/recommend/question", {"query": "年假", "kb_name": "kb-acme"})
    session, message = "1" * 32, "2" * 32
    body = {"query": "年假", "session_id": session, "chat_history_id": message}
    assert (await owner.post("/chat/chat", body)).status_code == 200
    async with callers.services.database.write() as database:
        sources = [{"number": 1, "title": "年假", "url": "https://example.com/", "text": "年假五天。"}]
        await database.execute(update(Message).where(Message.id == message).values(sources=sources))
    assert (await owner.post("/auth/session")).status_code == 200
    (login,) = (await owner.get("/auth/sessions")).json()["data"]
    values = {"kb": "kb-acme", "job": uploaded[0]["job_id"], "session": session, "message": message}
    values["source"] = "1"
    values["question"] = str(question.json()["question_id"])
    parts = [("files", ("a.txt", "年假。".encode()))]
    taken = await owner.http.post("/session/files", data={"session_id": session}, files=parts)
    values["attached"] = taken.json()["data"][0]["document_id"]
    values |= await _evaluation(callers)
    return Things(callers, everybody, values | {"login": login["session_id"]})


async def _evaluation(callers: Callers) -> dict[str, str]:
    """A set with a question and a run that is done, a rated answer, and a passage."""
    now = callers.services.runtime.clock.now()
    async with callers.services.database.write() as session:
        kb = (await session.scalars(select(KnowledgeBase.id).where(KnowledgeBase.name == "kb-acme"))).one()
        document = Document(id="doc_m", kb_id=kb, file_name="m.txt", name_key="m.txt", slot="live", suffix=".txt", size=1,
                            sha256="", state="ready", chunking={}, created_at=now)  # fmt: skip
        session.add_all([document, QuestionSet(id="es_1", kb_id=kb, name="set", created_at=now)])
        await session.flush()
        session.add(
            Chunk(
                id=1, kb_id=kb, document_id="doc_m", position=0, text="病假三天。", anchor={}, content_hash=""
            )
        )
        # Where PostgreSQL does not count itself.
        session.add(GoldQuestion(id=900, set_id="es_1", question="年假？", question_key="k", created_at=now))
        session.add(Run(id="er_1", set_id="es_1", asked_by="manager", wish=Wish().to_json(), state="done", created_at=now,
                        conditions={}, summary=summarise([])))  # fmt: skip
        session.add(Message(id="3" * 32, client_id="acme", user_id="reader2", kb_id=kb, chat_type="knowledge_base_chat",
                            model="quote", query="病假有几天？", docs=[], trace={}, state="done", feedback_score=90,
                            feedback_at=now, created_at=now))  # fmt: skip
    return {"set": "es_1", "run": "er_1", "rated": "3" * 32}


def _operations(app: FastAPI) -> dict[tuple[str, str], dict[str, Any]]:
    paths = app.openapi()["paths"]
    return {(method.upper(), path): paths[path][method] for path in paths for method in paths[path]}


def test_every_route_stands_in_the_matrix(app: FastAPI) -> None:
    protected = {
        key
        for key, operation in _operations(app).items()
        if "security" in operation and not key[1].startswith("/admin/")
    }
    shown = {value: key for key, value in NAMES_IN_PATHS.items()}
    with_ids = set()
    for row in ROWS:
        path = row.path
        for ours, theirs in shown.items():
            path = path.replace(ours, theirs)
        with_ids.add((row.method, path))
    assert not with_ids & WITHOUT_IDS.keys()
    assert with_ids | WITHOUT_IDS.keys() == protected


async def test_nobody_is_told_to_identify_themselves_by_every_route(app: FastAPI, callers: Callers) -> None:
    nobody = callers.nobody()
    walked = [key for key, operation in _operations(app).items() if "security" in operation]
    assert len(walked) > 30
    for method, path in walked:
        answer = await nobody.http.request(method, path, content=b"not even JSON")
        assert answer.status_code == 401, f"{method} {path}: {answer.text}"


# What its owner is answered there asks the database something that no other test asks.
ON_EVERY_DATABASE = (f"{EVALUATION}/rated_answers", f"{EVALUATION}/runs", "/chat/answers")


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(row, marks=[pytest.mark.database] * (row.path in ON_EVERY_DATABASE), id=row.name)
        for row in ROWS
    ],
)
async def test_what_is_anothers_is_not_there(things: Things, row: Row) -> None:
    """Without the scope 403; with it, what is another's 404, and nothing changes; the owner is let in."""
    before = await things.state()
    allowed = []
    for who, (caller, scopes) in things.everybody.items():
        is_owner = who == OWNER if row.personal else who.startswith("acme/")
        has_scope = row.scope is None or row.scope in scopes
        if has_scope and is_owner:
            allowed.append((who, caller))
            continue
        answer = await things.send(row, who, caller)
        assert answer.status_code == (row.foreign if has_scope else 403), f"{who}: {answer.text}"
        if answer.status_code == 200:
            assert answer.json()["data"] == []
    nobody = await things.send(row, "acme/nobody", things.callers.nobody())
    assert nobody.status_code == 401
    assert await things.state() == before
    answer = await things.send(row, *allowed[0])
    assert answer.status_code in row.owner, answer.text


async def test_routes_without_ids_ask_for_their_scope_too(things: Things) -> None:
    before = await things.state()
    for (method, path), scope in WITHOUT_IDS.items():
        for who, (caller, scopes) in things.everybody.items():
            if scope is not None and scope not in scopes:
                answer = await things.send(Row(method, path, scope), who, caller)
                assert answer.status_code == 403, f"{who} {path}: {answer.text}"
    for who, (caller, scopes) in things.everybody.items():
        if Scope.KB_READ in scopes:
            names = (await caller.get("/knowledge_base/list_knowledge_bases")).json()["data"]
            assert names == [f"kb-{who.partition('/')[0]}"]
        if who != OWNER:
            assert (await caller.get("/auth/sessions")).json()["data"] == []
    assert await things.state() == before


async def test_anothers_answer_looks_like_that_of_what_never_was(things: Things) -> None:
    """Word for word, but for the name that was asked for and the number of the request."""
    stranger = things.everybody["other/manager"][0]
    nothing = {"kb": "kb-none", "job": "job_none", "session": FREE_ID, "message": FREE_ID, "login": "none"}
    nothing |= {"question": "999999", "source": "1", "attached": "doc_none"}
    nothing |= {"set": "es_none", "run": "er_none", "rated": FREE_ID}
    never = Things(things.callers, things.everybody, nothing)
    for row in ROWS:
        if "{session}" in str(row.body) or "{message}" in str(row.body):
            continue  # a conversation that never was is begun
        seen = []
        for world in (things, never):
            answer = await world.send(row, "other/manager", stranger)
            text = answer.text
            if answer.status_code != 200:
                text = text.replace(answer.json()["error"]["request_id"], "REQUEST")
            seen.append((answer.status_code, text.replace(world.values["kb"], "KB")))
        assert seen[0] == seen[1], row.name
