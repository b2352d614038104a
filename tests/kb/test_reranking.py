"""A reranker has the last word on the order, within its time; without it the order stands."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.core.breaker import Breaker
from server.core.settings import Settings
from server.kb import fusion
from server.kb.fusion import Candidate
from server.kb.hits import Hit, Trace
from server.kb.models import KnowledgeBase
from server.services import Services, open_services
from tests.conftest import test_settings
from tests.support.api import Caller
from tests.support.rerank_service import KEY, SLOW, RerankService, rerank_service

QUESTION = "年假有几天？"
FILES = {
    "a.txt": "年假有五天，须提前一周申请。".encode(),
    "b.txt": "病假有三天，须有医院的证明。".encode(),
    "c.txt": "事假没有工资，一年不超过十天。".encode(),
}


@pytest.fixture(scope="module")
def started() -> Iterator[RerankService]:
    with rerank_service() as service:
        yield service


@pytest.fixture
def service(started: RerankService) -> RerankService:
    started.mode, started.favourite, started.asked = "honest", "事假", []
    return started


@pytest.fixture
def settings(database_url: str, tmp_path: Path, service: RerankService) -> Settings:
    from server.auth.secret_files import make_secret_file

    make_secret_file(tmp_path / "data" / "secrets" / "master.key", "0" * 64)
    return test_settings(tmp_path / "data", database_url, **service.environ())


@pytest.fixture
async def kb(services: Services, editor: Caller) -> KnowledgeBase:
    await editor.create_kb()
    await editor.ingest("kb", FILES)
    async with services.database.read() as session:
        from sqlalchemy import select

        return (await session.scalars(select(KnowledgeBase))).one()


async def _search(services: Services, *kbs: KnowledgeBase, top_k: int = 3) -> tuple[list[Hit], Trace]:
    return await services.kb.search_all(kbs, QUESTION, viewer=None, top_k=top_k, threshold=2.0)


def _order(found: tuple[list[Hit], Trace]) -> str:
    return "".join(hit.file_name[0] for hit in found[0])


async def test_it_orders_what_was_found(
    services: Services, service: RerankService, kb: KnowledgeBase
) -> None:
    hits, trace = await _search(services, kb)
    assert _order((hits, trace))[0] == "c"
    told = trace.to_json()
    assert told["rerank"] == {"name": "jina", "outcome": "done", "candidates": 3}
    best = told["candidates"][0]
    assert best["rerank_rank"] == 1 < best["rank"]
    assert best["rerank"] > 0.8
    assert told["milliseconds"]["rerank"] > 0
    (asked,) = service.asked
    assert asked["query"] == QUESTION
    # What models read of a passage: its place, and Simplified.
    assert asked["documents"][0].startswith("a\n年假有五天")


async def test_a_knowledge_base_goes_without(
    services: Services, service: RerankService, kb: KnowledgeBase
) -> None:
    kb.retrieval = {"rerank": ""}
    found = await _search(services, kb)
    assert _order(found)[0] == "a"
    assert "rerank" not in found[1].to_json()
    assert not service.asked


async def test_only_the_best_are_sent_and_the_others_stand_behind_them(
    services: Services, service: RerankService, kb: KnowledgeBase
) -> None:
    kb.retrieval = {"candidates": 2}
    before = _order(await _search(services, *[_without(kb)]))
    service.favourite = {"a": "年假", "b": "病假", "c": "事假"}[before[1]]
    assert _order(await _search(services, kb)) == before[1] + before[0] + before[2]
    assert len(service.asked[-1]["documents"]) == 2


def _without(kb: KnowledgeBase) -> KnowledgeBase:
    fields = {column.key: getattr(kb, column.key) for column in KnowledgeBase.__table__.columns}
    return KnowledgeBase(**fields | {"retrieval": {"rerank": ""}})


async def test_passages_go_only_where_their_own_knowledge_base_says(
    services: Services, service: RerankService, kb: KnowledgeBase
) -> None:
    kb.retrieval = {"candidates": 30}
    found = await _search(services, kb, _without(kb))
    assert found[1].rerank is not None
    assert found[1].rerank["outcome"] == "mixed"
    assert not service.asked


LIES = (
    "missing", "twice", "surplus", "beyond", "negative", "boolean", "nan", "vast", "words", "unnamed", "nothing", "list",
    "html", "deep",
)  # fmt: skip
FAULTS = {"down": "http_500", "busy": "http_429", "moved": "http_302", "slow": "late"}


@pytest.mark.one_database
async def test_a_service_that_lies_or_fails_changes_nothing(
    services: Services, service: RerankService, kb: KnowledgeBase, caplog: pytest.LogCaptureFixture
) -> None:
    await _search(services, kb)
    for mode, reason in {**dict.fromkeys(LIES, "nonsense"), **FAULTS}.items():
        service.mode = mode
        services.kb.retriever.rerankers.seconds = 0.5 if mode == "slow" else 10
        services.kb.retriever.rerankers._breakers["jina"] = Breaker(3, 30, 300)
        caplog.clear()
        started = time.monotonic()
        with caplog.at_level(logging.INFO, "server"):
            found = await _search(services, kb)
        assert time.monotonic() - started < SLOW, mode
        assert _order(found)[0] == "a", mode
        assert found[1].rerank is not None
        assert found[1].rerank["outcome"] == reason, mode
        assert not any(one.rerank for one in found[1].candidates), mode
        assert len([record for record in caplog.records if "rerank" in record.message]) == 1, mode
        assert KEY not in caplog.text


@pytest.mark.one_database
async def test_a_dead_one_is_left_alone_for_a_while(
    services: Services, service: RerankService, kb: KnowledgeBase
) -> None:
    now = [0.0]
    services.kb.retriever.rerankers._breakers["jina"] = Breaker(3, 30, 300, lambda: now[0])
    service.mode = "down"
    outcomes = [(await _search(services, kb))[1].rerank for _ in range(5)]
    assert [told and told["outcome"] for told in outcomes] == ["http_500"] * 3 + ["paused"] * 2
    assert len(service.asked) == 3
    service.mode, now[0] = "honest", 31.0
    assert _order(await _search(services, kb))[0] == "c"


@pytest.mark.one_database
async def test_a_reader_who_leaves_is_no_failure(
    services: Services, service: RerankService, kb: KnowledgeBase
) -> None:
    await _search(services, kb)
    service.mode = "slow"
    for _ in range(4):
        # Three failures would begin a pause.
        task = asyncio.ensure_future(services.kb.retriever.rerankers.score("jina", QUESTION, ["一", "二"]))
        await asyncio.sleep(0.05)
        task.cancel()
    service.mode = "honest"
    assert _order(await _search(services, kb))[0] == "c"


WRONG = (
    ({"RERANK__JINA__API_KEY": "another-key-1"}, "key"),
    ({"RERANK__JINA__API_KEY": "键"}, "key"),
    ({"RERANK__JINA__URL": "http://127.0.0.1:9/v1/rerank"}, "unreachable"),
)


@pytest.mark.one_database
async def test_what_is_set_up_wrongly(settings: Settings, service: RerankService, kb: KnowledgeBase) -> None:
    for environ, reason in WRONG:
        given = service.environ(**environ)
        other = test_settings(settings.server.data_dir, settings.database_url, **given)
        async with open_services(other) as services:
            found = await _search(services, kb)
        assert _order(found)[0] == "a"
        assert found[1].rerank is not None
        assert found[1].rerank["outcome"] == reason


def test_duplicates_and_variety_go_by_the_new_order() -> None:
    texts = ["年假有五天" * 20, "年假有五天" * 20, "病假", "事假"]
    found = [Candidate(n, "kb", text, 0.1 * n, 1.0, fused=9.0 - n) for n, text in enumerate(texts)]
    ranked = fusion.reorder(found, {1: 0.9, 0: 0.5, 2: 0.7})
    assert [one.chunk_id for one in ranked] == [1, 2, 0, 3]
    chosen = fusion.choose(ranked, 3, collapse=True, diversity=0.0)
    assert [one.chunk_id for one in chosen] == [1, 2, 3]
    assert found[0].outcome == "duplicate"
    for one in found:
        one.outcome = ""
    assert fusion.choose(ranked, 2, collapse=False, diversity=0.3)[0].chunk_id == 1


def test_variety_is_not_paid_for_by_comparing_all_with_all_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Any reader may ask for it (`settings` of an explanation): 50 of 200 took two minutes of the searches' lane."""
    found = [Candidate(n, "kb", f"第{n}条 规定{n * 7}", 0.1 * n, 1.0, fused=900.0 - n) for n in range(200)]
    compared = 0
    likeness = fusion._Vocabularies.likeness

    def counted(self: fusion._Vocabularies, one: Candidate, other: Candidate) -> float:
        nonlocal compared
        compared += 1
        return likeness(self, one, other)

    monkeypatch.setattr(fusion._Vocabularies, "likeness", counted)
    assert len(fusion.choose(found, 50, collapse=False, diversity=0.5)) == 50
    assert compared <= 200 * 50
