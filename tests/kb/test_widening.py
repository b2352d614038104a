"""A hit is read together with its neighbours, and cited alone."""

from typing import Any

import pytest

from server.kb.hits import Hit
from server.kb.widening import widen
from server.services import Services
from tests.support.api import Caller

HEADING = {"heading": "假期 > 年假"}


def _hit(chunk_id: int, text: str, anchor: dict[str, Any] = HEADING) -> Hit:
    return Hit(chunk_id, "doc", "a.md", text, anchor, 0.2, "kb")


def _around(*texts: str, anchors: dict[int, dict[str, Any]] | None = None) -> list[Any]:
    """Passages 10, 11 … at positions 0, 1 …"""
    return [(10 + n, n, (anchors or {}).get(n, HEADING), text) for n, text in enumerate(texts)]


def test_neighbours_are_joined_without_what_they_repeat() -> None:
    around = _around("一二三四。", "三四。五六七。", "六七。八九十。")
    assert widen(_hit(11, "三四。五六七。"), around, 100, {11}) == ("一二三四。五六七。八九十。", {10, 12})
    assert widen(_hit(11, "三四。五六七。"), around, 11, {11}) == ("三四。五六七。八九十。", {12})
    assert widen(_hit(11, "三四。五六七。"), around, 7, {11}) == ("三四。五六七。", set())


def test_nothing_is_read_twice_or_from_elsewhere() -> None:
    texts = ("甲。", "乙。", "丙。", "丁。")
    assert widen(_hit(11, "乙。"), _around(*texts), 100, {11, 12}) == ("甲。\n乙。", {10})
    other = {3: {"heading": "假期 > 病假"}, 0: {}}
    assert widen(_hit(11, "乙。"), _around(*texts, anchors=other), 100, {11}) == ("乙。\n丙。", {12})
    assert widen(_hit(99, "乙。"), _around(*texts), 100, {99}) == ("乙。", set())


LINES = [f"第{n}条：编号{n}的设备放在{n + 100}号仓库，钥匙由值班人员保管。" for n in range(1, 9)]


@pytest.fixture
async def library(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "\n".join(LINES).encode()}, chunk_size=40, chunk_overlap=5)


async def test_what_a_model_reads_is_wider_than_what_is_cited(
    services: Services, editor: Caller, library: None
) -> None:
    kbs = [await services.kb.get(_caller(), "kb")]
    hits, _ = await services.kb.search_all(kbs, "编号4的设备在哪里？", viewer=None, top_k=1)
    body = {"knowledge_base_name": "kb", "expand": 0}
    assert (await editor.post("/knowledge_base/update_retrieval", body)).status_code == 200
    kbs = [await services.kb.get(_caller(), "kb")]
    assert await services.kb.read_widely(kbs, hits, 1000) == hits
    body = {"knowledge_base_name": "kb", "expand": 120}
    assert (await editor.post("/knowledge_base/update_retrieval", body)).status_code == 200
    kbs = [await services.kb.get(_caller(), "kb")]
    (read,) = await services.kb.read_widely(kbs, hits, 1000)
    assert LINES[3] in read.reading
    assert LINES[4] in read.reading
    assert len(read.reading) <= 120
    assert read.text == hits[0].text
    # The room in the model is a limit, too.
    (read,) = await services.kb.read_widely(kbs, hits, 60)
    assert len(read.reading) <= 60


def _caller() -> Any:
    from server.auth.principal import Principal, Scope

    return Principal("acme", "u1", "", frozenset(Scope))
