"""What a reader is told of a knowledge base, and a random history of documents that are hidden from them."""

import random
from typing import Any

from tests.support.api import Caller

PUBLIC = {
    "年假.txt": "年假：员工每年有十天年假，满十年的有十五天。",
    "病假.txt": "病假：病假要有医院证明，由部门经理批准。",
    "差旅.txt": "差旅：高铁二等座可以报销，住宿标准每晚四百元。",
    "设备.md": "传感器-温度-TH01 的量程是零下四十度到八十五度。",
    "密码.txt": "密码每九十天更换一次，不得与前三次相同。",
    "考勤.txt": "考勤：每月可以补卡三次，由部门经理批准。",
    "加班.txt": "加班要先申请，周末加班可以调休。",
}
QUESTIONS = ("年假有几天？", "TH01 的量程", "经理批准什么", "高铁二等座报销 住宿")
# Near to every question, with its rare words, the same as what is public, and many.
_HIDDEN = (
    *QUESTIONS,
    *PUBLIC.values(),
    "经理批准经理批准：年假、病假、加班都由部门经理批准。TH01 TH01 TH02",
    "\n\n".join(
        f"第{n}条 年假有{n}天，经理批准，高铁二等座第{n}次报销，TH01 量程{n}度。" * 6 for n in range(12)
    ),
)
_STRANGERS: tuple[list[str], ...] = ([], ["u2"], ["U1", "u11", "u"], ["u2", "张三"])


async def told(reader: Caller) -> dict[str, Any]:
    """Everything, but for timings and the generation."""
    seen: dict[str, Any] = {}
    for question in QUESTIONS:
        for name, fields in (("plain", {}), ("of a kind", {"filters": {"types": ["txt"]}})):
            body = {"knowledge_base_name": "kb", "query": question, "top_k": 4} | fields
            answer = await reader.post("/knowledge_base/explain", body)
            assert answer.status_code == 200, answer.text
            explained = answer.json()["data"]
            del explained["trace"]["milliseconds"], explained["trace"]["kbs"]
            seen[f"{question} {name}"] = explained
        seen[f"{question} hits"] = await reader.search("kb", question, top_k=5)
    for path in ("list_files", "documents"):
        answer = await reader.get(f"/knowledge_base/{path}", knowledge_base_name="kb")
        seen[path] = answer.json()["data"]
    kbs = await reader.get("/knowledge_base/list_knowledge_bases_v2")
    seen["kbs"] = kbs.json()["data"]
    return seen


class History:
    """Changes of documents that `u1` does not see."""

    def __init__(self, editor: Caller, seed: int) -> None:
        self._editor, self._random = editor, random.Random(seed)
        self.names: list[str] = []

    async def add(self) -> None:
        """Upload some, of which one replaces another."""
        files = {}
        for _ in range(2):
            name = f"密{self._random.randrange(6)}.txt"
            files[name] = f"{self._random.choice(_HIDDEN)} {self._random.random()}".encode()
            self.names.append(name)
        given = self._random.choice(_STRANGERS)
        await self._editor.ingest("kb", files, override=True, visible_to=_json(given))

    async def show(self) -> None:
        """Change who sees one of them."""
        body: dict[str, Any] = {"knowledge_base_name": "kb", "file_name": self._random.choice(self.names)}
        body |= {"visible_to": self._random.choice(_STRANGERS), "tags": ["x"]}
        answer = await self._editor.post("/knowledge_base/update_document", body)
        assert answer.status_code == 200, answer.text

    async def delete(self) -> None:
        name = self._random.choice(self.names)
        self.names = [other for other in self.names if other != name]
        body = {"knowledge_base_name": "kb", "file_names": [name], "delete_content": True}
        assert (await self._editor.post("/knowledge_base/delete_docs", body)).status_code == 200

    async def step(self) -> None:
        can = [self.add, self.show, self.delete] if self.names else [self.add]
        await self._random.choice(can)()


def _json(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
