"""What counts as found, measured from a knowledge base's own passages; and its settings of search."""

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from server.auth.principal import Principal
from server.core.settings import RerankSettings
from server.kb.calibration import FEWEST, Measured, make_question
from server.kb.models import KnowledgeBase
from server.kb.tuning import Tuning
from server.services import Services
from tests.conftest import ROOT
from tests.support.api import Caller

TOPICS = (ROOT / "tests" / "data" / "topics.txt").read_text("utf-8").splitlines()
FILES = {
    f"{number}.txt": f"{topic}这一条写于{1950 + number}年，后来没有人改过它。".encode()
    for number, topic in enumerate(TOPICS)
}
# Shares no word and no meaning with any of them.
FOREIGN = "How do I reset my password?"
OWN = "茶叶怎么保存？"


async def _row(services: Services) -> KnowledgeBase:
    async with services.database.read() as session:
        return (await session.scalars(select(KnowledgeBase))).one()


async def _tune(editor: Caller, **changes: Any) -> dict[str, Any]:
    body = {"knowledge_base_name": "kb", **changes}
    answer = await editor.post("/knowledge_base/update_retrieval", body)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


async def test_what_was_measured_decides_where_a_request_says_nothing(
    services: Services, editor: Caller
) -> None:
    await editor.create_kb()
    await editor.ingest("kb", FILES)
    bare = {"knowledge_base_name": "kb", "top_k": 3}

    async def found(query: str, **fields: Any) -> list[Any]:
        answer = await editor.post("/knowledge_base/search_docs", bare | {"query": query} | fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert len(await found(FOREIGN)) == 3
    answer = await editor.post("/knowledge_base/calibrate", {"knowledge_base_name": "kb", "count": 50})
    assert answer.status_code == 200, answer.text
    kept = answer.json()["data"]
    assert kept["by"] == "sentences"
    assert kept["counts"]["made"] >= FEWEST
    assert kept["answerable"]["50"] == kept["floor"]
    assert kept["generation"] == (await _row(services)).generation
    assert kept["embed_model"] == "e5-small"
    assert 0 < kept["refused"] <= 1
    # A contract request's own threshold keeps its meaning.
    assert await found(FOREIGN) == []
    assert len(await found(FOREIGN, score_threshold=1.0)) == 3
    assert (await found(OWN))[0]["metadata"]["source"] == "18.txt"
    # So it is in chats, for agents, and told by explanations.
    _, docs = await editor.ask("kb", FOREIGN)
    assert "未找到相关文档" in docs[0]
    _, docs = await editor.ask("kb", FOREIGN, score_threshold=1)
    assert "出处 [1]" in docs[0]
    explained = await editor.post(
        "/knowledge_base/explain", {**bare, "query": FOREIGN, "expected": {"file_name": "3.txt"}}
    )
    why = explained.json()["data"]
    assert why["trace"]["style"]["floor"] == {"kb": kept["floor"]}
    assert why["expected"]["reason"] in ("threshold", "depth")
    assert {one["outcome"] for one in why["candidates"]} <= {"threshold", "depth"}
    # Measured with other weights, it says nothing about these; without it, all is as before.
    tuned = await _tune(editor, words=0.3)
    assert (tuned["is_calibrated"], len(await found(FOREIGN))) == (False, 3)
    assert (await _tune(editor, words=None))["is_calibrated"]
    assert await found(FOREIGN) == []
    assert (await _tune(editor, calibration=None))["calibration"] is None
    assert len(await found(FOREIGN)) == 3
    assert len(await found(OWN, top_k=5)) == 5
    await _tune(editor, threshold=0.0)
    assert await found(OWN) == []
    async with services.database.read() as session:
        kb = (await session.scalars(select(KnowledgeBase))).one()
        hits, _ = await services.kb.search_in(kb, OWN, viewer=None, top_k=3)
    assert hits == []


@pytest.mark.one_database
async def test_questions_of_people_count_for_more(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {name: FILES[name] for name in list(FILES)[:3]})
    refused = await editor.post("/knowledge_base/calibrate", {"knowledge_base_name": "kb"})
    assert refused.status_code == 422, refused.text
    assert "30" in refused.json()["msg"]
    for number in range(31):
        question = {"kb_name": "kb", "query": f"{TOPICS[number % 3][:3]}怎么样，第{number}次问？"}
        assert (await editor.post("/recommend/question", question)).status_code == 200
    # What is answered beforehand need not be in the documents.
    await editor.post("/recommend/question", {"kb_name": "kb", "query": FOREIGN, "answer": "不知道"})
    answer = await editor.post("/knowledge_base/calibrate", {"knowledge_base_name": "kb"})
    kept = answer.json()["data"]
    assert (kept["by"], kept["counts"]["asked"]) == ("questions", 31)
    assert kept["floor"] <= kept["asked"]["5"]
    shown = (await editor.get("/knowledge_base/retrieval", knowledge_base_name="kb")).json()["data"]
    assert shown["calibration"] == kept
    assert shown["own"] == {}


@pytest.mark.one_database
async def test_settings_that_cannot_be(editor: Caller, reader: Caller) -> None:
    await editor.create_kb()
    for wrong in (
        {"words": 1.1}, {"fusion": "best"}, {"rerank": "nobody"}, {"candidates": 1}, {"expand": -1}, {"thresh": 1},
        {"stop_words": [""]}, {"calibration": {"floor": 1}}, {"diversity": 1},
    ):  # fmt: skip
        answer = await editor.post("/knowledge_base/update_retrieval", {"knowledge_base_name": "kb", **wrong})
        assert answer.status_code == 422, wrong
    given = {"words": 0.2, "fusion": "rank", "collapse": False, "diversity": 0.4, "stop_words": ["请问"]}
    given |= {"rerank": "", "candidates": 9, "expand": 500}
    tuned = await _tune(editor, **given)
    assert tuned["own"] == given
    assert {name: tuned["effective"][name] for name in given} == given
    assert tuned["effective"]["threshold"] == 1.0
    assert (await _tune(editor, **dict.fromkeys(given)))["own"] == {}
    forbidden = await reader.post("/knowledge_base/update_retrieval", {"knowledge_base_name": "kb"})
    assert forbidden.status_code == 403


@pytest.mark.one_database
async def test_rerankers_that_are_set_up_can_be_chosen(
    services: Services, editor: Caller, tmp_path: Path
) -> None:
    await editor.create_kb()
    shown = (await editor.get("/knowledge_base/retrieval", knowledge_base_name="kb")).json()["data"]
    assert shown["rerankers"] == []  # those of configs/config.ini have neither a model nor a key
    (tmp_path / "small").mkdir()
    service = {"kind": "api", "model": "m"}
    models = {
        "there": {"kind": "cross-encoder", "path": str(tmp_path / "small")},
        "gone": {"kind": "cross-encoder", "path": str(tmp_path / "large")},
        "paid": {**service, "url": "https://rerank.example/v1", "api_key": "k9Jd72hLq0Zr"},
        "keyless": {**service, "url": "https://rerank.example/v1"},
        "local": {**service, "url": "http://127.0.0.1:9/rerank"},
    }
    rerank = RerankSettings.model_validate({"models": models})
    tuning = Tuning(services.database, services.settings.model_copy(update={"rerank": rerank}))
    async with services.database.read() as session:
        owner = (await session.scalars(select(KnowledgeBase))).one().client_id
    tuned = await tuning.get(Principal(owner, "u", "u", frozenset()), "kb")
    assert tuned.rerankers == ["there", "paid", "local"]


@pytest.mark.one_database
async def test_an_operator_calibrates(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", FILES)
    environ = {
        "SERVER__DATA_DIR": str(services.settings.server.data_dir),
        "DATABASE__URL": services.settings.database_url,
    }
    command = [sys.executable, "-m", "server", "kb", "calibrate", "--client", "acme", "--count", "20", "kb"]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    kept = ((await _row(services)).retrieval or {})["calibration"]
    assert f"{kept['floor']:g}" in said
    assert kept["counts"]["made"] == 20


def test_questions_are_left_out_of_what_they_are_matched_with() -> None:
    text = "年假有五天，须提前一周申请。病假须有医院的证明，三天以内有工资。短句。也是短句。还是短句。"
    for seed in range(20):
        made = make_question(text, "第一章 > 假期", random.Random(seed))
        assert made is not None
        assert made.question not in made.rest
        assert made.question in ("年假有五天，须提前一周申请", "病假须有医院的证明，三天以内有工资")
        assert len(made.rest) + len(made.question) + 1 == len(text)
    made = make_question(
        "| 部门 | 分机 |\n| 人事 | 6032 |\n| 财务 | 6033 |", "通讯录 > 部门分机", random.Random(1)
    )
    assert made is not None
    for text, heading in (
        ("只有一句话，没有别的可以拿来比较的。", ""),
        ("", "标题"),
        ("标题", "标题"),
        ("短", ""),
    ):
        assert make_question(text, heading, random.Random(1)) is None


def test_the_floor() -> None:
    made = [float(n) for n in range(101)]
    assert Measured(made, made, []).floor == 50
    assert Measured(made, [0.0, 60.0, 49.0, 51.0], []).refused() == 0.5
    assert Measured(made, [], []).refused() is None
    assert Measured(made, [], [70.0 + n for n in range(30)]).floor == 63
    assert Measured(made, [], [float(n) for n in range(200)]).floor == 0.9
    assert Measured(made, [], [-10.0] * 30).floor == -11
    assert not Measured(made[: FEWEST - 1], [], made[:29]).is_enough


@pytest.mark.one_database
async def test_what_is_measured_tells_nothing_of_hidden_documents(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", FILES)
    body = {"knowledge_base_name": "kb", "count": 50}

    async def measure() -> dict[str, Any]:
        answer = await editor.post("/knowledge_base/calibrate", body)
        assert answer.status_code == 200, answer.text
        kept: dict[str, Any] = answer.json()["data"]
        return {key: value for key, value in kept.items() if key != "generation"}

    before = await measure()
    hidden = {f"h{number}.txt": text for number, text in enumerate(FILES.values())}
    await editor.ingest("kb", hidden, visible_to=[])
    assert await measure() == before
