"""What a language model reads of a hit, what is cited of it, and what an answer is checked against."""

import pytest
from sqlalchemy import select

from server.chat.models import Message
from server.services import Services
from tests.support.api import Caller
from tests.support.provider import Provider

LINES = [f"第{n}条：编号{n}的设备放在{n + 100}号仓库，钥匙由值班人员保管。" for n in range(1, 9)]


@pytest.fixture
async def library(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "\n".join(LINES).encode()}, chunk_size=40, chunk_overlap=5)


async def test_a_model_reads_the_neighbours_and_cites_the_hit(
    services: Services, editor: Caller, library: None, provider: Provider
) -> None:
    for size, is_read in ((0, False), (200, True)):
        body = {"knowledge_base_name": "kb", "expand": size}
        assert (await editor.post("/knowledge_base/update_retrieval", body)).status_code == 200
        _, docs = await editor.ask("kb", "编号4的设备在哪里？", top_k=1, model_name="echo")
        prompt = str(provider.calls[-1])
        assert "104号仓库" in prompt
        assert ("105号仓库" in prompt) is is_read
        assert "104号仓库" in docs[0]
        assert "105号仓库" not in docs[0]
    async with services.database.read() as session:
        rows = list(await session.scalars(select(Message).order_by(Message.created_at)))
    assert [source.get("read") is not None for row in rows for source in row.sources or []] == [False, True]
    # A reader is told what is cited.
    said, _ = await editor.ask("kb", "编号4的设备在哪里？", top_k=1)
    assert "105号仓库" not in said


async def test_readers_see_the_hit(editor: Caller, library: None, provider: Provider) -> None:
    body = {"query": "编号4的设备在哪里？", "knowledge_base_name": "kb", "top_k": 1, "model_name": "echo"}
    answer = await editor.post(
        "/chat/knowledge_base_chat", body | {"stream": True}, headers={"Accept": "text/event-stream"}
    )
    assert "104号仓库" in answer.text
    assert '"read"' not in answer.text
