"""What we add to an answer's first piece: the same stand-in of a provider asked directly and through the server."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from bench.report import Figure, percentile, show, spread
from bench.stage import CALLER, stage
from server.chat.events import TextDelta
from server.chat.service import ChatService
from server.chat.turn import Ask
from server.core.configuration import load_settings
from server.llm.gateway import Gateway

_PORT, _DELAY, _CALLS = 7995, 0.06, 150


async def _answer(_request: Request) -> StreamingResponse:
    async def pieces() -> AsyncIterator[bytes]:
        await asyncio.sleep(_DELAY)
        for n in range(20):
            delta = {
                "index": 0,
                "delta": {"content": f"第{n}段"},
                "finish_reason": "stop" if n == 19 else None,
            }
            chunk = {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 0,
                "model": "m",
                "choices": [delta],
            }
            yield f"data: {json.dumps(chunk)}\n\n".encode()
        yield b"data: [DONE]\n\n"

    return StreamingResponse(pieces(), media_type="text/event-stream")


async def run() -> None:
    app = Starlette(routes=[Route("/v1/chat/completions", _answer, methods=["POST"])])
    server = uvicorn.Server(uvicorn.Config(app, port=_PORT, log_config=None))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:  # noqa: ASYNC110 (uvicorn has no event for it)
        await asyncio.sleep(0.05)
    environ = {
        "LLM__BENCH__BASE_URL": f"http://127.0.0.1:{_PORT}/v1",
        "LLM__BENCH__MODEL": "m",
        "LLM__BENCH__API_KEY": "k" * 20,
    }
    gateway = Gateway(load_settings(environ=environ).llm)
    direct, ours = [], []
    async with stage() as services, httpx2.AsyncClient(timeout=30) as client:
        means = replace(services.chat.means, gateway=gateway)
        chat = ChatService(services.database, means, services.runtime, services.settings.chat)
        for _ in range(_CALLS):
            direct.append(await _directly(client))
            ours.append(await _through(chat))
    server.should_exit = True
    await serving
    added = [b - a for a, b in zip(direct, ours, strict=True)]
    p50, p95 = percentile(added, 50), percentile(added, 95)
    raw = f"direct {spread(direct)}; through us {spread(ours)}"
    show(
        "Chat: first piece of an answer, added over the provider",
        [
            Figure("p50", f"{p50:.1f} ms", "≤ 15 ms", p50 <= 15, raw),
            Figure("p95", f"{p95:.1f} ms", "≤ 40 ms", p95 <= 40),
        ],
    )


async def _directly(client: httpx2.AsyncClient) -> float:
    started = time.perf_counter()
    async with client.stream("POST", f"http://127.0.0.1:{_PORT}/v1/chat/completions", json={}) as response:
        async for _ in response.aiter_bytes():
            return (time.perf_counter() - started) * 1000
    raise RuntimeError("no answer")


async def _through(chat: ChatService) -> float:
    started = time.perf_counter()
    turn = await chat.prepare(CALLER, Ask(query="你好", mode="llm_chat", model_name="bench"))
    first = 0.0
    async for event in chat.answer(turn):
        if isinstance(event, TextDelta) and not first:
            first = (time.perf_counter() - started) * 1000
    return first
