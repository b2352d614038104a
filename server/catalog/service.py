"""What this server says of its models, and what an operator does with the local ones."""

import asyncio
import logging

from server import VERSION
from server.catalog.schemas import MAX_CHARS, Changed, ModelConfig, ServerConfigs
from server.core.engines import EngineState, Order, SupervisorAway
from server.core.errors import Conflict, Invalid, ModelUnavailable, UpstreamBusy
from server.core.i18n import Text
from server.core.settings import Settings
from server.kb.embedders import Embedders
from server.llm.gateway import Gateway
from server.llm.quote_model import NAME as QUOTE

log = logging.getLogger(__name__)
# Seconds: for an engine to end, to begin (the contract's), and between two looks.
_ENDING, _BEGINNING, _PAUSE = 30.0, 300.0, 0.2
# Characters per call of an embedding model, so that questions get in between.
_BATCH_CHARS = 3000


class Catalog:
    """The models of one API process."""

    def __init__(self, settings: Settings, gateway: Gateway, embedders: Embedders) -> None:
        self._settings, self._gateway, self._embedders = settings, gateway, embedders
        self._engines = gateway.engines
        # One change at a time, lest two stop each other's engines.
        self._changing = asyncio.Lock()

    def configured(self) -> dict[str, ModelConfig]:
        """Every model that a request may name."""
        return {name: self.config(name) for name in self._gateway.names()}

    async def running(self) -> dict[str, ModelConfig]:
        """Those of them that can answer now: a provider's when it has a key, a local one when its engine is ready."""
        try:
            states = await self._engines.ask()
        except SupervisorAway:
            states = {}
        models = self._settings.llm.models
        return {
            name: config
            for name, config in self.configured().items()
            if name == QUOTE
            or (
                states.get(name, EngineState("off")).state == "ready"
                if self._is_local(name)
                else models[name].is_keyed
            )
        }

    def config(self, name: str) -> ModelConfig:
        """Raises ModelNotFound."""
        room = self._gateway.get(name).context_tokens
        default = name == self._settings.llm.default
        if name == QUOTE:
            return ModelConfig(
                kind=QUOTE, preset="", model=QUOTE, context_tokens=room, online_api=False, default=default
            )
        model = self._settings.llm.models[name]
        return ModelConfig(
            kind=model.engine or model.kind,
            preset=model.preset,
            model=model.model or name,
            context_tokens=room,
            online_api=not model.engine,
            default=default,
        )

    def server_configs(self) -> ServerConfigs:
        settings = self._settings
        return ServerConfigs(
            api_address=settings.server.address,
            version=VERSION,
            llm_model=settings.llm.default,
            embed_model=settings.embedding.default,
            embed_models=sorted(settings.embedding.models),
            chunk_size=settings.kb.chunk_size,
            chunk_overlap=settings.kb.chunk_overlap,
            top_k=settings.kb.top_k,
            score_threshold=settings.kb.score_threshold,
            history_len=settings.chat.history_rounds,
        )

    async def stop(self, name: str, actor: str) -> Changed:
        """End a local model's engine. Raises ModelNotFound, Conflict for a model that is not local, ModelUnavailable."""
        self._gateway.get(name)
        if not self._is_local(name):
            raise Conflict(
                Text(
                    f"{name} 不是本机运行的模型，没有可停止的进程",
                    f"{name} does not run on this machine; there is nothing to stop",
                ),
                code="not_local",
            )
        async with self._changing:
            await self._stop(name, actor)
        return Changed(stopped=name, started=None)

    async def change(self, old: str, new: str, actor: str) -> Changed:
        """End the one and begin the other, of those that are local; when that fails, the old one is brought back.

        Raises ModelNotFound, ModelUnavailable, UpstreamBusy.
        """
        for name in (old, new):
            self._gateway.get(name)
        async with self._changing:
            ended = None
            if self._is_local(old) and (await self._order("list", old)).state in ("ready", "starting"):
                await self._stop(old, actor)
                ended = old
            if not self._is_local(new):
                return Changed(stopped=ended, started=None)
            try:
                await self._start(new, actor)
            except ModelUnavailable:
                if ended:
                    await self._order("start", ended)
                raise
        return Changed(stopped=ended, started=new)

    async def embed(self, texts: list[str], model: str | None, *, to_query: bool) -> list[list[float]]:
        """A unit vector for each text. Raises ModelNotFound, Invalid, EmbeddingUnavailable."""
        if sum(map(len, texts)) > MAX_CHARS:
            raise Invalid(
                Text(
                    f"文本总长超过 {MAX_CHARS} 个字符",
                    f"the texts have more than {MAX_CHARS} characters in all",
                )
            )
        embedder = await self._embedders.get(model or self._settings.embedding.default)
        if to_query:
            return [(await self._embedders.embed_question(embedder, text)).tolist() for text in texts]
        vectors: list[list[float]] = []
        for batch in _batches(texts):
            vectors += (await self._embedders.embed_passages(embedder, batch)).tolist()
        return vectors

    def _is_local(self, name: str) -> bool:
        return name in self._settings.llm.engines

    async def _stop(self, name: str, actor: str) -> None:
        log.info("local model stopped", extra={"model": name, "actor": actor})
        state = await self._order("stop", name)
        deadline = asyncio.get_running_loop().time() + _ENDING
        while state.state != "off":
            if asyncio.get_running_loop().time() > deadline:
                raise UpstreamBusy(
                    Text(f"本地模型 {name} 还没有结束", f"the local model {name} has not ended yet"),
                    retry_after=5,
                )
            await asyncio.sleep(_PAUSE)
            state = await self._order("list", name)

    async def _start(self, name: str, actor: str) -> None:
        log.info("local model started", extra={"model": name, "actor": actor})
        state = await self._order("start", name)
        deadline = asyncio.get_running_loop().time() + _BEGINNING
        while state.state != "ready":
            if state.state == "failed":
                raise ModelUnavailable(
                    Text(
                        f"本地模型 {name} 无法启动：{state.reason}",
                        f"the local model {name} cannot be started: {state.reason}",
                    )
                )
            if asyncio.get_running_loop().time() > deadline:
                raise UpstreamBusy(
                    Text(f"本地模型 {name} 仍在加载", f"the local model {name} is still being loaded"),
                    retry_after=30,
                )
            await asyncio.sleep(_PAUSE)
            state = await self._order("list", name)

    async def _order(self, order: Order, name: str) -> EngineState:
        try:
            return (await self._engines.ask(order, name))[name]
        except (SupervisorAway, KeyError) as error:
            raise ModelUnavailable(
                Text(
                    "本地模型由 startup.py 管理；它不在本机运行，或以 --lite 启动",
                    "local models are run by startup.py, which is not here or was started with --lite",
                )
            ) from error


def _batches(texts: list[str]) -> list[list[str]]:
    """Neighbours together, as many as one call should take."""
    batches: list[list[str]] = []
    size = _BATCH_CHARS
    for text in texts:
        size += len(text)
        if size > _BATCH_CHARS:
            batches.append([])
            size = len(text)
        batches[-1].append(text)
    return batches
