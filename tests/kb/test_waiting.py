"""upload_docs and update_docs that answer when the documents are searchable."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from server.core.settings import Settings
from server.kb.worker import Worker
from tests.conftest import test_settings
from tests.support.api import Caller

NAME = {"knowledge_base_name": "kb"}
UPDATE = "/knowledge_base/update_docs"
FILES = {"a.txt": "年假五天。".encode(), "b.json": b"{oops"}
NOW, LATER = "文件上传与向量化完成", "文件已接收，正在后台解析与向量化"


@pytest.fixture
async def working(editor: Caller, worker: Worker) -> Any:
    """The worker goes on by itself."""
    await editor.create_kb()
    running = asyncio.create_task(worker.run())
    yield
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize("wait", ["true", "60", "1e9"])
async def test_an_upload_that_waits_is_found_at_once(editor: Caller, wait: str) -> None:
    answer = (await editor.upload("kb", FILES, wait=wait)).json()
    assert answer["msg"] == NOW
    assert set(answer["data"]["failed_files"]) == {"b.json"}
    assert {row["file_name"]: row["state"] for row in answer["data"]["documents"]} == {
        "a.txt": "ready", "b.json": "failed",
    }  # fmt: skip
    assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["年假五天。"]


@pytest.mark.usefixtures("working")
@pytest.mark.parametrize("wait", [True, 60, "60"])
async def test_an_update_that_waits(editor: Caller, wait: object) -> None:
    await editor.upload("kb", FILES, wait=True)
    body = NAME | {"file_names": ["a.txt", "b.json", "none.txt"], "wait": wait}
    docs = json.dumps({"a.txt": [{"page_content": "年假九天。"}]})
    answer = (await editor.post(UPDATE, body | {"docs": docs})).json()
    assert (answer["code"], answer["msg"]) == (200, "更新文档完成")
    assert set(answer["data"]["failed_files"]) == {"b.json", "none.txt"}
    assert [hit["page_content"] for hit in await editor.search("kb", "年假")] == ["年假九天。"]


async def test_it_waits_no_longer_than_it_is_told(editor: Caller) -> None:
    """Nobody works."""
    await editor.create_kb()
    for wait in ("0.2", "false", "0", None):
        given = {} if wait is None else {"wait": wait}
        answer = (await editor.upload("kb", {f"{wait}.txt": b"x"}, **given)).json()
        assert (answer["msg"], answer["data"]["documents"][0]["state"]) == (LATER, "waiting")
    for wrong in ("long", "-1", "nan"):
        assert (await editor.upload("kb", {"c.txt": b"x"}, wait=wrong)).status_code == 422


async def test_what_is_only_kept_is_not_waited_for(editor: Caller) -> None:
    await editor.create_kb()
    answer = (await editor.upload("kb", {"a.txt": b"x"}, wait=True, to_vector_store=False)).json()
    assert answer["msg"] == "文件已保存，未向量化"


async def test_a_reader_who_leaves_is_not_waited_for(editor: Caller, worker: Worker) -> None:
    await editor.create_kb()
    asking = asyncio.create_task(editor.upload("kb", {"a.txt": b"x"}, wait=True))
    while not (await editor.get("/jobs")).json()["data"]["items"]:
        await asyncio.sleep(0.02)
    assert any("Follower.wait" in str(task.get_coro()) for task in asyncio.all_tasks())
    asking.cancel()
    async with asyncio.timeout(30):
        while any("Follower.wait" in str(task.get_coro()) for task in asyncio.all_tasks()):
            await asyncio.sleep(0.02)
    await worker.run_until_idle()
    assert (await editor.documents("kb"))["a.txt"]["state"] == "ready"


class TestScriptsOfOld:
    """`[compat] wait_for_uploads`: they do not know the field."""

    @pytest.fixture
    def settings(self, settings: Settings, tmp_path: Path, database_url: str) -> Settings:
        return test_settings(tmp_path / "data", database_url, COMPAT__WAIT_FOR_UPLOADS="1m")

    @pytest.mark.usefixtures("working")
    async def test_they_wait_without_asking_for_it(self, editor: Caller) -> None:
        assert (await editor.upload("kb", FILES)).json()["msg"] == NOW
        assert (await editor.search("kb", "年假"))[0]["page_content"] == "年假五天。"
        answer = await editor.post(UPDATE, NAME | {"file_names": ["a.txt"], "chunk_size": 60})
        assert answer.json()["msg"] == "更新文档完成"
        answer = await editor.post(UPDATE, NAME | {"file_names": ["a.txt"], "wait": False})
        assert answer.json()["msg"] == "已开始更新，正在后台重新处理"
