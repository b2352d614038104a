"""A knowledge base with three documents, and a set of questions about them."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from server.auth.principal import Principal
from server.chat.aside import Asides
from server.evaluation.asking import Asking
from server.evaluation.gold import Asked
from server.evaluation.runner import Runner
from server.evaluation.wish import Wish
from server.kb.models import KnowledgeBase
from server.services import Services
from server.worker import evaluations
from tests.support.api import Caller

AT = "/knowledge_base/evaluation"
FILES = {
    "年假.txt": "年休假规定：员工累计工作满一年不满十年的，年休假五天；满十年不满二十年的，年休假十天。",
    "报销.txt": "差旅报销规定：出差返回后十五个工作日内提交报销单，逾期不予受理，发票抬头写公司全称。",
    "密码.txt": "信息安全须知：账号密码不少于十二位，每九十天更换一次，连续输错五次锁定三十分钟。",
}
QUESTIONS: list[dict[str, Any]] = [
    {"question": "工作满十年有几天年休假？", "gold_files": ["年假.txt"], "gold_answer": "十天", "tags": ["假"]},
    {"question": "出差返回后多久内提交报销单？", "gold_passage": "出差返回后十五个工作日内提交报销单", "gold_answer": "十五个工作日||15个工作日", "tags": ["钱"]},
    {"question": "账号密码不少于多少位？", "gold_files": ["密码.txt"], "gold_passage": "密码不少于十二位", "gold_answer": "十二位"},
    {"question": "食堂周三吃什么菜？", "answerable": False},
]  # fmt: skip


@pytest.fixture
async def runner(services: Services) -> Runner:
    return evaluations(services)


class Watched(Asking):
    """Does something before it asks a question, which it counts."""

    def __init__(self, services: Services, before: Callable[[int], Awaitable[object]]) -> None:
        asides = Asides(services.chat, services.runtime.clock)
        super().__init__(services.database, services.kb, asides)
        self.count, self._before = 0, before

    async def measure(self, kb: KnowledgeBase, caller: Principal, wish: Wish, asked: Asked) -> dict[str, Any]:
        self.count += 1
        await self._before(self.count)
        return await super().measure(kb, caller, wish, asked)


def watched(services: Services, before: Callable[[int], Awaitable[object]]) -> tuple[Runner, Watched]:
    runtime, asking = services.runtime, Watched(services, before)
    return Runner(services.database, asking, services.settings, runtime.clock, runtime.lanes), asking


@pytest.fixture
async def bare(editor: Caller) -> str:
    """One without documents, where it is not what is found that matters."""
    await editor.create_kb("kb")
    return "kb"


@pytest.fixture
async def kb(editor: Caller) -> str:
    await editor.create_kb("kb")
    documents = await editor.ingest("kb", {name: text.encode() for name, text in FILES.items()})
    assert {row["state"] for row in documents.values()} == {"ready"}
    return "kb"


async def make_set(editor: Caller, kb: str, questions: list[dict[str, Any]], name: str = "验收") -> str:
    made = await editor.post(f"{AT}/sets", {"knowledge_base_name": kb, "name": name})
    assert made.status_code == 200, made.text
    set_id: str = made.json()["data"]["set_id"]
    for one in questions:
        saved = await editor.post(f"{AT}/questions", {"set_id": set_id, **one})
        assert saved.status_code == 200, saved.text
    return set_id


async def run_through(editor: Caller, runner: Runner, set_id: str, **fields: Any) -> dict[str, Any]:
    begun = await editor.post(f"{AT}/runs", {"set_id": set_id, **fields})
    assert begun.status_code == 202, begun.text
    await runner.run_until_idle()
    return await look(editor, begun.json()["data"]["run_id"])


async def look(editor: Caller, run_id: str) -> dict[str, Any]:
    found = await editor.get(f"{AT}/runs/{run_id}")
    assert found.status_code == 200, found.text
    data: dict[str, Any] = found.json()["data"]
    return data


async def results(editor: Caller, run_id: str, **fields: Any) -> list[dict[str, Any]]:
    found = await editor.get(f"{AT}/runs/{run_id}/results", **fields)
    assert found.status_code == 200, found.text
    items: list[dict[str, Any]] = found.json()["data"]["items"]
    return items


def value(run: dict[str, Any], name: str) -> float:
    told: float = run["summary"]["values"][name]["value"]
    return told
