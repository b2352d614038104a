"""The application as a caller sees it: over HTTP, with a credential."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI

from server.core.connections import ImpatientProtocol
from server.core.tls import tls_context
from server.kb.worker import Worker


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    """Serve the app on a free port of this machine, in this event loop."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_config=None,
        access_log=False,
        lifespan="on",
        http=ImpatientProtocol,
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    assert server.started
    running = asyncio.ensure_future(server.main_loop())
    try:
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        running.cancel()
        await _shut_down(server)


async def _shut_down(server: uvicorn.Server) -> None:
    """As `Server.shutdown` does, without its pauses: thousands of tests would wait for a tenth of a second twice."""
    for listener in server.servers:
        listener.close()
    state = server.server_state
    for connection in list(state.connections):
        connection.shutdown()
    while state.connections or state.tasks:
        await asyncio.sleep(0.002)
    for listener in server.servers:
        await listener.wait_closed()
    await server.lifespan.shutdown()


class Caller:
    """Somebody with a credential."""

    def __init__(self, base: str, headers: dict[str, str], worker: Worker | None = None) -> None:
        self.http = httpx2.AsyncClient(base_url=base, headers=headers, timeout=60, verify=tls_context())
        self.worker = worker

    async def get(self, path: str, **params: Any) -> httpx2.Response:
        return await self.http.get(path, params=params)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx2.Response:
        return await self.http.post(path, json=body, **options)

    async def create_kb(self, name: str = "kb", **fields: Any) -> None:
        body = {"knowledge_base_name": name, "kb_zh_name": "检查", "kb_info": "检查用", **fields}
        answer = await self.post("/knowledge_base/create_knowledge_base", body)
        assert answer.status_code == 200, answer.text

    async def upload(self, kb: str, files: dict[str, bytes], **fields: Any) -> httpx2.Response:
        parts = [("files", (name, data)) for name, data in files.items()]
        form = {"knowledge_base_name": kb, **{key: str(value) for key, value in fields.items()}}
        return await self.http.post("/knowledge_base/upload_docs", data=form, files=parts)

    async def ingest(self, kb: str, files: dict[str, bytes], **fields: Any) -> dict[str, dict[str, Any]]:
        """Upload, let the worker finish, and return what became of each document by name."""
        answer = await self.upload(kb, files, **fields)
        assert answer.status_code == 200, answer.text
        assert self.worker is not None
        await self.worker.run_until_idle()
        return await self.documents(kb)

    async def documents(self, kb: str) -> dict[str, dict[str, Any]]:
        answer = await self.get("/knowledge_base/documents", knowledge_base_name=kb)
        assert answer.status_code == 200, answer.text
        return {item["file_name"]: item for item in answer.json()["data"]["items"]}

    async def search(self, kb: str, query: str, **fields: Any) -> list[dict[str, Any]]:
        body = {"query": query, "knowledge_base_name": kb, **fields}
        answer = await self.post("/knowledge_base/search_docs", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def ask(self, kb: str, query: str, **fields: Any) -> tuple[str, list[str]]:
        """Ask a knowledge base in the contract's stream; returns the answer and the citations."""
        body = {"query": query, "knowledge_base_name": kb, "stream": True, **fields}
        answer = await self.post("/chat/knowledge_base_chat", body)
        assert answer.status_code == 200, answer.text
        found = objects(answer.text)
        return "".join(o.get("answer", "") for o in found), next(o["docs"] for o in found if "docs" in o)


def objects(text: str) -> list[dict[str, Any]]:
    """The concatenated JSON objects of a contract stream."""
    decoder, position, found = json.JSONDecoder(), 0, []
    while position < len(text):
        value, position = decoder.raw_decode(text, position)
        found.append(value)
    return found


def sse_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    """(event, data) of each frame of a server-sent-events stream; comments are left out."""
    events = []
    for frame in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in frame.splitlines() if line and not line.startswith(":"))
        if fields:
            events.append((fields["event"], json.loads(fields["data"])))
    return events
