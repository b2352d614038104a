"""The models of this server by name."""

from pathlib import Path
from urllib.parse import urlsplit

from server.core.errors import ModelNotFound, SettingsError
from server.core.i18n import Text
from server.core.settings import LLMModelSettings, LLMSettings
from server.llm.base import ChatModel
from server.llm.local_engine import Engines, LocalEngineModel
from server.llm.openai_compatible import PRESETS
from server.llm.providers import PROVIDERS
from server.llm.quote_model import NAME as QUOTE
from server.llm.quote_model import NOTHING_FOUND, QuoteModel


class Gateway:
    """Finds the model a request names. Nothing is connected before the first question."""

    def __init__(
        self, settings: LLMSettings, supervisor: Path | None = None, refusal: Text = NOTHING_FOUND
    ) -> None:
        """`supervisor`: the socket where it tells of the engines of local models; `refusal`: what `quote` says when nothing fits.

        Raises SettingsError when a model has no address or no name at its provider.
        """
        self.default = settings.default
        self.engines = Engines(supervisor)
        self._models: dict[str, ChatModel] = {QUOTE: QuoteModel(refusal)}
        for name, model in settings.models.items():
            if not model.engine:
                _check(name, model)
                self._models[name] = PROVIDERS[model.kind](name, model)
            elif model.is_set_up:
                self._models[name] = LocalEngineModel(name, model, self.engines)

    def names(self) -> list[str]:
        return list(self._models)

    def get(self, name: str | None) -> ChatModel:
        """The named model, or the default one. Raises ModelNotFound."""
        wanted = name or self.default
        if wanted not in self._models:
            raise ModelNotFound(wanted, self.names())
        return self._models[wanted]

    async def close(self) -> None:
        for model in self._models.values():
            await model.close()


def _check(name: str, model: LLMModelSettings) -> None:
    if model.kind == "openai" and not model.base_url and model.preset not in PRESETS:
        known = " ".join(PRESETS)
        raise SettingsError(f"[llm.{name}] preset: give a base_url, or one of: {known}")
    if model.base_url and not _is_web_address(model.base_url):
        raise SettingsError(f"[llm.{name}] base_url: write an address such as https://example.com/v1")
    if not model.model:
        raise SettingsError(f"[llm.{name}] model: name the model, say glm-4-flash")
    if model.kind == "langchain" and ":" not in model.model:
        raise SettingsError(f"[llm.{name}] model: write PROVIDER:NAME, say anthropic:claude-sonnet-4-5")


def _is_web_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
