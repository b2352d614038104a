"""A folder with a cross-encoder (bge-reranker, MiniLM …), loaded by sentence-transformers. Needs the full installation (torch).

Never downloads. Runs in the engine process (see engine.py), or in a command; never in the API process.
"""

import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from embeddings.base import let_waiting_threads_sleep
from embeddings.local import SMALLEST_VOCABULARY
from embeddings.reranking import CrossEncoderConfig, CrossEncoderModel, RerankError, check_scores


class LocalCrossEncoder(CrossEncoderModel):
    """A model with one output."""

    def __init__(self, config: CrossEncoderConfig) -> None:
        """Raises RerankError."""
        self._config, self._model = config, _load(config)

    def score(self, question: str, passages: Sequence[str]) -> list[float]:
        pairs = [(_clean(question), _clean(passage)) for passage in passages]
        try:
            scores = self._model.predict(
                pairs, batch_size=self._config.batch_size, show_progress_bar=False, convert_to_numpy=True
            )
        except Exception as error:
            raise RerankError(f"{self._config.name} failed: {type(error).__name__}") from error
        return check_scores([float(score) for score in scores], len(passages))


def check_folder(config: CrossEncoderConfig) -> None:
    """Raises RerankError. Looks at the configuration only, not at weights."""
    if (config.path / "modules.json").is_file():
        return
    try:
        described = json.loads((config.path / "config.json").read_text("utf-8"))
        kinds = [str(kind) for kind in described.get("architectures") or []]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise RerankError(f"there is no model in {config.path}") from error
    # A model without a head gets one of random numbers, and its scores would mean nothing.
    if not any(kind.endswith("ForSequenceClassification") for kind in kinds):
        raise RerankError(f"{config.path} is no cross-encoder: {', '.join(kinds) or 'no architecture'}")


def _clean(text: str) -> str:
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _load(config: CrossEncoderConfig) -> Any:
    check_folder(config)
    let_waiting_threads_sleep()
    try:
        import torch
        from sentence_transformers import CrossEncoder
    except ImportError:
        raise RerankError("a cross-encoder needs the full installation: make run FULL=1") from None
    import_module("transformers.utils.logging").disable_progress_bar()
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        model = CrossEncoder(
            str(config.path),
            device=config.device,
            max_length=config.max_length or None,
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"dtype": "float32"} if config.device == "cpu" else {},
        )
    except Exception as error:  # the folder's files decide what goes wrong here: any type is possible
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
        raise RerankError(f"{config.path} cannot be loaded ({reason})") from error
    if model.num_labels != 1:
        raise RerankError(f"{config.path} sorts into {model.num_labels} classes and gives no score")
    get_vocabulary = getattr(model.tokenizer, "get_vocab", None)
    if get_vocabulary is not None and len(get_vocabulary()) < SMALLEST_VOCABULARY:
        raise RerankError(f"{config.path} has no tokenizer")
    return model
