"""How a knowledge base is searched where that differs from the server's settings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from server.auth.principal import Principal
from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.settings import RerankModelSettings, Settings
from server.db.session import Database
from server.kb.access import lock_own_kb, own_kb
from server.kb.calibration import floor_of
from server.kb.models import KnowledgeBase
from server.kb.style import Style


@dataclass(frozen=True, slots=True)
class Tuned:
    """`own`: what the knowledge base says itself. `effective`: what holds for it. `rerankers`: those that are set up.
    `calibration`: what was measured, and whether that still holds."""

    own: dict[str, Any]
    effective: dict[str, Any]
    rerankers: list[str]
    calibration: dict[str, Any] | None
    is_calibrated: bool


class Tuning:
    """Knowledge bases of callers who may change them. Raises KBNotFound, Forbidden."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database, self._settings = database, settings
        # What is put there or given a key takes effect at the next start anyway.
        self._rerankers = _set_up(settings)

    async def get(self, caller: Principal, name: str) -> Tuned:
        async with self._database.read() as session:
            return self._tuned(await own_kb(session, caller, name))

    async def change(self, caller: Principal, name: str, changes: Mapping[str, Any]) -> Tuned:
        """None takes a setting back to the server's. Raises Invalid."""
        wanted = changes.get("rerank")
        if wanted and wanted not in self._settings.rerank.models:
            known = ", ".join(self._settings.rerank.models) or "-"
            raise Invalid(
                Text(
                    f"没有名为 {wanted} 的重排模型；可用：{known}",
                    f"no reranker {wanted}; there are: {known}",
                )
            )
        async with self._database.write() as session:
            kb = await lock_own_kb(session, caller, name)
            given = {**(kb.retrieval or {}), **changes}
            kb.retrieval = {key: value for key, value in given.items() if value is not None} or None
            return self._tuned(kb)

    def _tuned(self, kb: KnowledgeBase) -> Tuned:
        own = dict(kb.retrieval or {})
        style = Style.of(self._settings.retrieval, self._settings.rerank, kb)
        effective = asdict(style) | {
            "stop_words": list(style.stop_words),
            "synonyms": [list(group) for group in style.synonyms],
            "threshold": own.get("threshold", self._settings.kb.score_threshold),
        }
        calibration = own.pop("calibration", None)
        return Tuned(own, effective, self._rerankers, calibration, floor_of(kb, style.words) is not None)


def _set_up(settings: Settings) -> list[str]:
    """The rerankers that can work: with a folder that is there; with a key, or at an address without https, which is a server of
    one's own that asks for none."""

    def can_work(model: RerankModelSettings) -> bool:
        if model.kind == "cross-encoder":
            return (settings.embedding.models_dir / model.path).is_dir()
        return model.api_key is not None or not model.url.startswith("https:")

    return [name for name, model in settings.rerank.models.items() if can_work(model)]
