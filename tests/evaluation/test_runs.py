"""Runs over question sets, through HTTP, the product's own search and its own answerer."""

import asyncio
import base64
import hashlib
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from server.evaluation import models
from server.evaluation.badness import badness
from server.evaluation.models import Result, Run
from server.evaluation.runner import Runner
from server.kb.models import Chunk, KnowledgeBase
from server.services import Services
from server.worker import evaluations
from tests.conftest import Callers
from tests.evaluation.conftest import (
    AT,
    FILES,
    QUESTIONS,
    look,
    make_set,
    results,
    run_through,
    value,
    watched,
)
from tests.support.api import Caller


async def test_a_run_searches_answers_and_measures(editor: Caller, runner: Runner, kb: str) -> None:
    set_id = await make_set(editor, kb, QUESTIONS)
    begun = await editor.post(f"{AT}/runs", {"set_id": set_id, "name": "第一次", "model_name": "quote"})
    told = begun.json()["data"]
    assert (begun.status_code, told["state"], told["done"], told["total"], told["percent"]) == (
        202, "queued", 0, 4, 0,
    )  # fmt: skip
    await runner.run_until_idle()
    run = await look(editor, told["run_id"])
    assert (run["state"], run["done"], run["percent"], run["name"]) == ("done", 4, 100, "第一次")
    summary = run["summary"]
    assert (summary["questions"], summary["ranked"], summary["answered"], summary["failed"]) == (4, 3, 4, 0)
    for name in ("recall@1", "recall@10", "mrr@10", "ndcg@10", "answer_contains_gold", "citation_precision"):
        assert value(run, name) == 1.0, name
    assert summary["values"]["recall@1"]["n"] == 3
    assert 0.4 < summary["values"]["recall@1"]["low"] < 1.0
    assert (value(run, "refusal_recall"), value(run, "refusal_precision")) == (1.0, 1.0)
    assert value(run, "false_refusals") == 0.0
    assert summary["rank_counts"] == [3] + [0] * 10
    assert summary["tags"]["假"]["questions"] == 1
    assert summary["milliseconds"]["search_total"]["p50"] > 0
    assert summary["moved"] is False
    conditions = run["conditions"]
    assert conditions["knowledge_base"].pop("generation") > 0
    assert conditions["knowledge_base"] == {"name": "kb", "documents": 3, "passages": 3}
    assert conditions["embedding"]["model"] == "e5-small"
    assert conditions["chunking"] == ["250/50 × 3"]
    assert conditions["answer"]["model"] == "quote"

    first, _, _, refused = await results(editor, run["run_id"])
    assert first["asked"]["gold_files"] == ["年假.txt"]
    assert (first["ranks"], first["outcome"], first["contains_gold"]) == ([1], "answered", True)
    assert "十天" in first["answer"]
    assert (first["cited"], first["cited_gold"]) == (1, 1)
    assert (first["hits"][0]["file_name"], first["hits"][0]["is_gold"]) == ("年假.txt", True)
    assert not any(hit["is_gold"] for hit in first["hits"][1:])
    assert (refused["ranks"], refused["outcome"], refused["contains_gold"]) == ([], "not_found", None)
    assert [row["number"] for row in await results(editor, run["run_id"], only="not_found")] == [4]


async def test_the_worst_comes_first_page_by_page(editor: Caller, runner: Runner, kb: str) -> None:
    lost = {"question": "打车能报销吗？", "gold_files": ["没有.txt"]}
    wrong = {"question": "年假到底是几天？", "answerable": False}
    set_id = await make_set(editor, kb, [*QUESTIONS, lost, wrong])
    run = await run_through(editor, runner, set_id, model_name="quote")
    pages = [
        await results(editor, run["run_id"], order="worst", page=page, page_size=2) for page in (1, 2, 3, 4)
    ]
    assert [[row["number"] for row in page] for page in pages] == [[6, 5], [1, 2], [3, 4], []]
    assert pages[0][0]["hits"], "with all that belongs to it"
    assert [row["number"] for row in await results(editor, run["run_id"])] == [1, 2, 3, 4, 5, 6]
    refused = await editor.get(f"{AT}/runs/{run['run_id']}/results", order="best")
    assert refused.status_code == 422


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        ({"error_code": "timeout"}, {"ranks": [None]}),
        ({"ranks": [None]}, {"ranks": [10], "contains_gold": False}),
        ({"ranks": [3]}, {"ranks": [None, 2]}),
        ({"ranks": [1], "contains_gold": False}, {"ranks": [1], "contains_gold": True}),
        ({"ranks": [1], "outcome": "not_found", "asked": {"answerable": True}}, {"ranks": [9], "outcome": "partly"}),
        ({"outcome": "partly", "asked": {"answerable": False}}, {"outcome": "not_found", "asked": {"answerable": False}}),
    ],
)  # fmt: skip
def test_what_is_worse(worse: dict[str, Any], better: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"ranks": [], "asked": {}}
    assert badness(Result(**usual | worse)) > badness(Result(**usual | better))


async def test_a_search_alone_says_nothing_of_answers_and_tags_choose(
    editor: Caller, runner: Runner, kb: str
) -> None:
    set_id = await make_set(editor, kb, QUESTIONS)
    run = await run_through(editor, runner, set_id, tags=["钱", "假"])
    assert set(run["summary"]["values"]) == {
        "recall@1", "recall@3", "recall@5", "recall@10", "mrr@10", "ndcg@10",
    }  # fmt: skip
    assert run["summary"]["answered"] == 0
    assert [row["asked"]["tags"] for row in await results(editor, run["run_id"])] == [["假"], ["钱"]]
    nothing = await editor.post(f"{AT}/runs", {"set_id": set_id, "tags": ["没有"]})
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (422, "nothing_to_evaluate")


async def test_faults_of_the_ranking_are_seen(
    editor: Caller, runner: Runner, services: Services, kb: str
) -> None:
    """Measures that cannot fall tell nothing: each fault that is planted must be told, and by the right measure."""
    set_id = await make_set(editor, kb, QUESTIONS)
    good = await run_through(editor, runner, set_id, model_name="quote")
    retriever = services.kb.retriever
    search = retriever.search

    async def reversed_hits(*args: Any, **options: Any) -> Any:
        hits, trace = await search(*args, **options)
        return hits[::-1], trace

    async def without_the_first(*args: Any, **options: Any) -> Any:
        hits, trace = await search(*args, **options)
        return hits[1:], trace

    try:
        retriever.search = reversed_hits  # type: ignore[method-assign]
        upside_down = await run_through(editor, runner, set_id)
        retriever.search = without_the_first  # type: ignore[method-assign]
        lossy = await run_through(editor, runner, set_id, model_name="quote")
    finally:
        retriever.search = search  # type: ignore[method-assign]
    # Three documents: what was first is last, and found all the same.
    assert (value(upside_down, "recall@1"), value(upside_down, "recall@3")) == (0.0, 1.0)
    assert value(upside_down, "mrr@10") == pytest.approx(1 / 3)
    assert value(upside_down, "ndcg@10") == pytest.approx(0.5)
    assert upside_down["summary"]["rank_counts"] == [0, 0, 3] + [0] * 8
    for name in ("recall@10", "mrr@10", "ndcg@10", "answer_contains_gold"):
        assert value(lossy, name) == 0.0, name
    assert value(lossy, "false_refusals") + value(lossy, "refusal_recall") > 1.0

    told = (await editor.get(f"{AT}/compare", base=good["run_id"], other=lossy["run_id"])).json()["data"]
    assert (told["pairs"], told["worse_total"], told["better_total"]) == (4, 3, 0)
    assert told["decisions"]["hit@1"]["mcnemar"] == {"gained": 0, "lost": 3, "p": 0.25}
    assert told["values"]["mrr@10"]["difference"]["value"] == -1.0
    assert told["conditions"] == []


async def test_gold_outlives_rechunking(editor: Caller, runner: Runner, services: Services, kb: str) -> None:
    """Other chunks have other ids and other ends; the same gold is found in them."""
    set_id = await make_set(editor, kb, QUESTIONS)
    before = await run_through(editor, runner, set_id)
    assert value(before, "recall@1") == 1.0
    async with services.database.read() as session:
        old = set(await session.scalars(select(Chunk.id)))
    body = {"knowledge_base_name": kb, "file_names": list(FILES), "chunk_size": 20, "chunk_overlap": 0}
    assert (await editor.post("/knowledge_base/update_docs", body)).status_code == 200
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    async with services.database.read() as session:
        new = set(await session.scalars(select(Chunk.id)))
    assert len(new) > len(old)
    assert not new & old
    after = await run_through(editor, runner, set_id)
    assert value(after, "recall@10") == 1.0
    told = (await editor.get(f"{AT}/compare", base=before["run_id"], other=after["run_id"])).json()["data"]
    assert {one["name"] for one in told["conditions"]} == {
        "chunking", "knowledge_base.generation", "knowledge_base.passages",
    }  # fmt: skip
    assert next(one["other"] for one in told["conditions"] if one["name"] == "chunking") == ["20/0 × 3"]


async def test_settings_are_tried_by_one_run_alone(
    editor: Caller, runner: Runner, services: Services, kb: str
) -> None:
    """And the product's own settings are part of what a run ran on."""
    async with services.database.write() as session:
        await session.execute(update(KnowledgeBase).values(retrieval={"fusion": "rank"}))
    set_id = await make_set(editor, kb, QUESTIONS)
    # With this threshold nothing is a hit, and what became of the gold is told with its ranks.
    usual = await run_through(editor, runner, set_id, score_threshold=0.0)
    tried = await run_through(
        editor, runner, set_id, score_threshold=0.0, settings={"words": 0.0, "fusion": "score"}
    )
    assert [run["conditions"]["retrieval"] for run in (usual, tried)] == [
        {
            "words": words,
            "fusion": fusion,
            "collapse": True,
            "diversity": 0.0,
            "stop_words": [],
            "synonyms": [],
            "rerank": "",
            "candidates": 30,
            "expand": 600,
        }
        for words, fusion in ((0.5, "rank"), (0.0, "score"))
    ]
    lost = [(await results(editor, run["run_id"]))[0]["lost"]["word_rank"] for run in (usual, tried)]
    assert lost == [1, None], "words were not looked for"
    async with services.database.read() as session:
        assert await session.scalar(select(KnowledgeBase.retrieval)) == {"fusion": "rank"}
    told = (await editor.get(f"{AT}/compare", base=usual["run_id"], other=tried["run_id"])).json()["data"]
    assert [one["name"] for one in told["conditions"]] == ["retrieval.fusion", "retrieval.words"]
    for wrong in ({"words": 2}, {"fusion": "x"}, {"words": "0.5"}, {"rerank": True}):
        assert (await editor.post(f"{AT}/runs", {"set_id": set_id, "settings": wrong})).status_code == 422


async def test_what_became_of_gold_that_was_not_found(editor: Caller, runner: Runner, kb: str) -> None:
    gone = {"question": "病假工资怎么发？", "gold_files": ["没有的.txt"]}
    set_id = await make_set(editor, kb, [QUESTIONS[0], gone])
    run = await run_through(editor, runner, set_id, score_threshold=0.0)
    cut, never = await results(editor, run["run_id"])
    assert (cut["ranks"], cut["hits"]) == ([None], [])
    assert (cut["lost"]["file_name"], cut["lost"]["outcome"], cut["lost"]["rank"]) == (
        "年假.txt",
        "threshold",
        1,
    )
    assert never["lost"] is None
    report = (await editor.get(f"{AT}/runs/{run['run_id']}/report")).text
    assert "超出距离阈值" in report
    assert "检索没有遇到" in report


async def test_what_is_measured_is_what_stood_there_at_the_beginning(
    editor: Caller, runner: Runner, kb: str
) -> None:
    set_id = await make_set(editor, kb, QUESTIONS[:2])
    before = await run_through(editor, runner, set_id)
    first = (await editor.get(f"{AT}/questions", set_id=set_id)).json()["data"]["items"][0]
    changed = {"set_id": set_id, "question_id": first["question_id"], "question": first["question"]}
    assert (await editor.post(f"{AT}/questions", changed | {"gold_files": ["密码.txt"]})).status_code == 200
    await editor.post(f"{AT}/questions", {"set_id": set_id, "question": "新的问题", "answerable": False})
    after = await run_through(editor, runner, set_id)
    assert (value(before, "recall@1"), value(after, "recall@1")) == (1.0, 0.5)
    told = (await editor.get(f"{AT}/compare", base=before["run_id"], other=after["run_id"])).json()["data"]
    assert (told["pairs"], told["changed"], told["unmatched"]) == (1, 1, 1)


async def test_another_worker_goes_on_where_one_was_killed(
    editor: Caller, services: Services, bare: str
) -> None:
    """It comes to no end of its own, as by kill -9; only the questions that are left are asked again."""
    questions = [{"question": f"第{n}条规定是什么？", "gold_files": ["年假.txt"]} for n in range(25)]
    set_id = await make_set(editor, bare, questions)
    run_id = (await editor.post(f"{AT}/runs", {"set_id": set_id})).json()["data"]["run_id"]

    async def hang(count: int) -> None:
        await asyncio.sleep(3600 if count == 13 else 0)

    dying, asked = watched(services, hang)
    work = asyncio.ensure_future(dying._go_through(await _claimed(dying, services)))
    while asked.count < 13:
        await asyncio.sleep(0.01)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    told = await look(editor, run_id)
    assert (told["state"], told["done"], told["percent"]) == ("running", 10, 39)
    following, again = watched(services, lambda _count: asyncio.sleep(0))
    assert not await following.step(), "its lease holds"
    async with services.database.write() as session:
        await session.execute(update(Run).values(lease_until=services.runtime.clock.now() - timedelta(1)))
    assert await following.step()
    told = await look(editor, run_id)
    assert (told["state"], told["done"], told["summary"]["questions"]) == ("done", 25, 25)
    assert again.count == 15


async def _claimed(runner: Runner, services: Services) -> Run:
    from server.evaluation import run_repository

    now = services.runtime.clock.now()
    async with services.database.write() as session:
        run = await run_repository.claim(session, runner.owner, now, now + timedelta(minutes=1), 3, None)
    assert run is not None
    return run


async def test_a_run_that_kills_its_worker_every_time_is_given_up(
    editor: Caller, services: Services, runner: Runner, bare: str
) -> None:
    set_id = await make_set(editor, bare, QUESTIONS[:1])
    run_id = (await editor.post(f"{AT}/runs", {"set_id": set_id})).json()["data"]["run_id"]
    past = services.runtime.clock.now() - timedelta(seconds=1)
    async with services.database.write() as session:
        await session.execute(update(Run).values(state="running", attempts=3, lease_until=past))
    assert not await runner.step()
    told = await look(editor, run_id)
    assert (told["state"], told["error_code"]) == ("failed", "worker_died")
    assert "中断" in told["reason"]


async def test_two_workers_never_do_the_same_run(editor: Caller, services: Services, bare: str) -> None:
    set_id = await make_set(editor, bare, QUESTIONS)
    for _ in range(3):
        await editor.post(f"{AT}/runs", {"set_id": set_id})
    runners = [evaluations(services) for _ in range(4)]
    for number, one in enumerate(runners):
        one.owner = f"worker {number}"
    await asyncio.gather(*(one.run_until_idle() for one in runners))
    async with services.database.read() as session:
        states = list(await session.execute(select(Run.state, Run.done, Run.attempts)))
    assert states == [("done", 4, 1)] * 3


async def test_a_run_is_cancelled(editor: Caller, services: Services, runner: Runner, bare: str) -> None:
    set_id = await make_set(editor, bare, [{"question": f"问题{n}", "answerable": False} for n in range(15)])
    waiting = (await editor.post(f"{AT}/runs", {"set_id": set_id})).json()["data"]["run_id"]
    cancelled = await editor.post(f"{AT}/runs/{waiting}/cancel")
    assert cancelled.json()["data"]["state"] == "cancelled"
    assert not await runner.step()
    running = (await editor.post(f"{AT}/runs", {"set_id": set_id})).json()["data"]["run_id"]

    async def cancel(count: int) -> None:
        if count == 12:
            await editor.post(f"{AT}/runs/{running}/cancel")

    runner, _ = watched(services, cancel)
    assert await runner.step()
    told = await look(editor, running)
    assert (told["state"], told["done"], told["summary"]) == ("cancelled", 10, None)
    assert len(await results(editor, running)) == 10
    assert (await editor.post(f"{AT}/runs/{running}/cancel")).json()["data"]["state"] == "cancelled"
    assert (await editor.get(f"{AT}/runs/{running}/report")).status_code == 422
    assert (await editor.post(f"{AT}/runs/{running}/delete")).status_code == 200
    assert (await editor.get(f"{AT}/runs/{running}")).status_code == 404
    async with services.database.read() as session:
        assert await session.scalar(select(func.count()).select_from(Result)) == 15, "the other run's"


async def test_what_goes_with_its_knowledge_base(
    editor: Caller, services: Services, runner: Runner, bare: str
) -> None:
    set_id = await make_set(editor, bare, QUESTIONS)
    await run_through(editor, runner, set_id)
    assert (await editor.post("/knowledge_base/delete_knowledge_base", bare)).status_code == 200
    async with services.database.read() as session:
        for table in (models.QuestionSet, models.GoldQuestion, models.Run, models.Result):
            assert await session.scalar(select(func.count()).select_from(table)) == 0
    assert (await editor.get(f"{AT}/questions", set_id=set_id)).status_code == 404


async def test_runs_are_bounded(editor: Caller, services: Services, bare: str) -> None:
    set_id = await make_set(editor, bare, QUESTIONS[:1])
    for _ in range(20):
        assert (await editor.post(f"{AT}/runs", {"set_id": set_id})).status_code == 202
    more = await editor.post(f"{AT}/runs", {"set_id": set_id})
    assert (more.status_code, more.json()["error"]["code"]) == (429, "too_many_requests")
    async with services.database.write() as session:
        await session.execute(update(Run).values(state="done"))
        (run,) = await session.scalars(select(Run).limit(1))
        columns = {c.key: getattr(run, c.key) for c in Run.__table__.columns}
        session.add_all(Run(**columns | {"id": f"er_{n}"}) for n in range(80))
    more = await editor.post(f"{AT}/runs", {"set_id": set_id})
    assert (more.status_code, more.json()["error"]["code"]) == (409, "evaluation_full")


async def test_a_model_that_is_not_there_is_refused_at_once(editor: Caller, bare: str) -> None:
    set_id = await make_set(editor, bare, QUESTIONS[:1])
    for fields, code in (
        ({"model_name": "none"}, "model_not_found"),
        ({"model_name": "quote", "prompt_name": "none"}, "prompt_not_found"),
        ({"set_id": "es_none"}, "evaluation_set_not_found"),
    ):
        answer = await editor.post(f"{AT}/runs", {"set_id": set_id} | fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, code)
    for wrong in ({"top_k": 0}, {"top_k": "3"}, {"score_threshold": -1}, {"unknown": 1}, {"name": "x" * 101}):
        assert (await editor.post(f"{AT}/runs", {"set_id": set_id} | wrong)).status_code == 422, wrong


async def test_only_runs_of_one_set_that_are_done_are_compared(
    editor: Caller, runner: Runner, bare: str
) -> None:
    one = await run_through(editor, runner, await make_set(editor, bare, QUESTIONS[:1]))
    other_set = await make_set(editor, bare, QUESTIONS[:1], "另一个")
    other = await run_through(editor, runner, other_set)
    waiting = (await editor.post(f"{AT}/runs", {"set_id": other_set})).json()["data"]["run_id"]
    for base, second, status in (
        (one["run_id"], other["run_id"], 422),
        (other["run_id"], waiting, 422),
        (other["run_id"], "er_none", 404),
        (other["run_id"], other["run_id"], 200),
    ):
        assert (await editor.get(f"{AT}/compare", base=base, other=second)).status_code == status


async def test_a_run_tells_that_its_documents_changed_meanwhile(
    editor: Caller, services: Services, bare: str
) -> None:
    set_id = await make_set(editor, bare, QUESTIONS[:1])

    async def move(_count: int) -> None:
        async with services.database.write() as session:
            await session.execute(update(KnowledgeBase).values(generation=KnowledgeBase.generation + 1))

    runner, _ = watched(services, move)
    run = await run_through(editor, runner, set_id)
    assert run["summary"]["moved"] is True
    assert "知识库有改动" in (await editor.get(f"{AT}/runs/{run['run_id']}/report")).text


async def test_the_report_stands_alone(callers: Callers, editor: Caller, runner: Runner, kb: str) -> None:
    hostile = {"question": "<script>alert(1)</script>几天？", "gold_files": ["没有的.txt"], "tags": ["<b>"]}
    set_id = await make_set(editor, kb, [*QUESTIONS, hostile], "<i>集</i>")
    base = await run_through(editor, runner, set_id, name="<u>", model_name="quote")
    other = await run_through(editor, runner, set_id, model_name="quote", top_k=1)
    for path, lang, words in (
        (f"{AT}/runs/{other['run_id']}/report", "zh", "检索与回答评测"),
        (f"{AT}/runs/{other['run_id']}/report?lang=en", "en", "Retrieval and answers, evaluated"),
        (f"{AT}/runs/{other['run_id']}/report?base={base['run_id']}", "zh", "两次评测的比较"),
    ):
        page = await editor.http.get(path)
        assert page.status_code == 200, page.text
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "unsafe" not in policy
        assert words in page.text
        assert f'<html lang="{"en" if lang == "en" else "zh-CN"}">' in page.text
        assert 'name="viewport"' in page.text
        assert "@media print" in page.text
        text = page.text.replace('xmlns="http://www.w3.org/2000/svg"', "")
        for forbidden in ("<script", "<i>集", "<u>", "<b>", "http://", "https://", " style=", "<img", "url("):
            assert forbidden not in text, (forbidden, path)
        assert page.text.count("<svg") == 2
        assert "MRR@10" in page.text
    assert "search.top_k" not in page.text
    assert "top_k" in page.text, "what differs"
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy, "or a browser shows it without its style"
