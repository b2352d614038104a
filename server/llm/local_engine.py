"""A model on this machine: an engine that the supervisor runs, asked by OpenAI's protocol at the address it has now."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import anyio.to_thread
from pydantic import SecretStr

from server.core.engines import EngineState, Order, SupervisorAway, ask_supervisor
from server.core.errors import ModelUnavailable, UpstreamBusy, UpstreamError, UpstreamUnreachable
from server.core.i18n import Text
from server.core.settings import LLMModelSettings
from server.llm.base import Delta, ModelRequest
from server.llm.openai_compatible import OpenAICompatibleModel

# Seconds: how long a question waits for an engine that is being started again, and between two looks.
_PATIENCE, _PAUSE = 10.0, 0.2


class Engines:
    """The engines of this server, as the supervisor tells of them."""

    def __init__(self, socket: Path | None) -> None:
        """`socket`: where the supervisor listens; None: there is none."""
        self._socket = socket

    async def ask(self, order: Order = "list", name: str = "") -> dict[str, EngineState]:
        """The state of every engine, after an order. Raises SupervisorAway."""
        if self._socket is None:
            raise SupervisorAway("there is no supervisor")
        return await anyio.to_thread.run_sync(ask_supervisor, self._socket, order, name)

    async def state(self, name: str) -> EngineState | None:
        """None: no supervisor here is responsible for it."""
        try:
            return (await self.ask()).get(name)
        except SupervisorAway:
            return None


class LocalEngineModel:
    """A ChatModel. Its engine may move to another port with each start, so that it is looked up for each question."""

    # Small models call tools badly; an agent of theirs looks into the knowledge bases by itself.
    calls_tools = False

    def __init__(self, name: str, settings: LLMModelSettings, engines: Engines) -> None:
        self.name, self.context_tokens = name, settings.context_tokens
        self._settings, self._engines = settings, engines
        self._address: tuple[int, str] | None = None
        self._model: OpenAICompatibleModel | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        deadline = asyncio.get_running_loop().time() + _PATIENCE
        begun = False
        while True:
            model = await self._current(deadline)
            try:
                async with aclosing(model.stream(request)) as deltas:
                    async for delta in deltas:
                        begun = True
                        yield delta
            except UpstreamUnreachable:
                # It died a moment ago, and the supervisor has not seen it yet.
                if begun or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                return

    async def close(self) -> None:
        if self._model is not None:
            await self._model.close()

    async def _current(self, deadline: float) -> OpenAICompatibleModel:
        """The model behind the engine's present address. Raises UpstreamBusy, ModelUnavailable."""
        while True:
            state = await self._engines.state(self.name)
            if state is not None and state.state == "ready":
                return await self._at(state)
            if state is None or state.state != "starting":
                raise _refusal(self.name, state)
            if asyncio.get_running_loop().time() > deadline:
                raise _loading(self.name)
            await asyncio.sleep(_PAUSE)

    async def _at(self, state: EngineState) -> OpenAICompatibleModel:
        address = state.port, state.key
        if self._model is None or self._address != address:
            old, self._address = self._model, address
            known = {
                "base_url": f"http://127.0.0.1:{state.port}/v1",
                "api_key": SecretStr(state.key),
                "model": self._settings.model or self.name,
                "preset": "",
                "retries": 0,
            }
            model = self._model = OpenAICompatibleModel(self.name, self._settings.model_copy(update=known))
            if old is not None:
                await old.close()
            return model
        return self._model


def _loading(name: str) -> UpstreamError:
    return UpstreamBusy(
        Text(
            f"本地模型 {name} 正在加载，请稍后再试", f"the local model {name} is being loaded; try again soon"
        ),
        retry_after=10,
    )


def _refusal(name: str, state: EngineState | None) -> UpstreamError:
    if state is None:
        return ModelUnavailable(
            Text(
                f"本地模型 {name} 没有启动：请管理员用 startup.py 启动服务，且不带 --lite",
                f"the local model {name} is not running: start the server by startup.py, without --lite",
            )
        )
    if state.state == "failed":
        return ModelUnavailable(
            Text(
                f"本地模型 {name} 启动失败，请管理员查看服务日志",
                f"the local model {name} could not be started; the log has the reason",
            )
        )
    return ModelUnavailable(
        Text(
            f"本地模型 {name} 已停止，请管理员启动它（/llm_model/change），或换一个模型",
            f"the local model {name} is stopped; start it (/llm_model/change) or take another",
        )
    )
