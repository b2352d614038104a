"""Any sentence-transformers folder on this machine: m3e, bge, e5 … Needs the full installation (torch).

Never downloads: a folder that is missing is an error which says where to put it. Runs in the engine process (see
engine.py), or in a command such as init_db.py; never in the API process.
"""

import threading
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors, let_waiting_threads_sleep

_PROJECT = Path(__file__).resolve().parents[1]
# A tokenizer of bytes has this many pieces, any other has more.
SMALLEST_VOCABULARY = 256


class LocalEmbedder(Embedder):
    """A model loaded by sentence-transformers with `local_files_only`."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self._model = _load(config)
        self._lock = threading.Lock()

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        prefix = self.config.query_prefix if is_query else self.config.passage_prefix
        encode = self._model.encode_query if is_query else self._model.encode_document
        try:
            with self._lock:
                vectors = encode(
                    texts,
                    prompt=prefix or _prompt(self._model.prompts, is_query=is_query),
                    batch_size=self.config.batch_size,
                    normalize_embeddings=True,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                )
        except Exception as error:
            raise EmbeddingError(
                f"向量模型 {self.name} 计算失败：{type(error).__name__}",
                f"embedding model {self.name} failed: {type(error).__name__}",
                retry=True,  # memory that is short now may be free later
            ) from error
        return cast("Vectors", vectors)


def _prompt(prompts: dict[str, str], *, is_query: bool) -> str | None:
    """What the folder itself puts before a text. sentence-transformers overlooks `passage`: its empty `document` wins."""
    names = ["query"] if is_query else ["document", "passage", "corpus"]
    return next((prompts[name] for name in names if prompts.get(name)), None)


def check_folder(config: EmbedderConfig) -> None:
    """Raises EmbeddingError that says where the model belongs and how to get it. Looks at names only, not at weights."""
    path = config.path
    if path is None or not any((path / name).is_file() for name in ("config.json", "modules.json")):
        raise _unusable(config, "没有找到", "not found")


def _load(config: EmbedderConfig) -> Any:
    check_folder(config)
    let_waiting_threads_sleep()
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise EmbeddingError(
            "本地向量模型需要完整安装：停止服务后运行 make run FULL=1",
            "a local embedding model needs the full installation: stop the server and run make run FULL=1",
        ) from None
    # A progress bar would fill the log with half lines; transformers gives this function no types.
    import_module("transformers.utils.logging").disable_progress_bar()
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        torch.empty(1, device=config.device)
    except Exception as error:
        raise EmbeddingError(
            f"[embedding.{config.name}] device = {config.device} 在本机不可用，请改为 cpu 或安装支持它的 torch",
            f"[embedding.{config.name}] device = {config.device} cannot be used on this machine: set cpu, or install a "
            "torch that supports it",
        ) from error
    try:
        model = SentenceTransformer(
            str(config.path),
            device=config.device,
            local_files_only=True,
            trust_remote_code=False,
            # A folder in 16 bit is five times slower than in 32 on a processor.
            model_kwargs={"dtype": "float32"} if config.device == "cpu" else {},
        )
    except Exception as error:  # the folder's files decide what goes wrong here: any type is possible
        reason = f"{type(error).__name__}: {error}".partition("\n")[0][:300]
        raise _unusable(config, f"无法加载（{reason}）", f"cannot be loaded ({reason})") from error
    # Without its files transformers makes up a tokenizer that knows no word: all texts would have about one vector.
    get_vocabulary = getattr(model.tokenizer, "get_vocab", None)
    if get_vocabulary is not None and len(get_vocabulary()) < SMALLEST_VOCABULARY:
        raise _unusable(config, "缺少分词器文件", "has no tokenizer")
    return model


def _unusable(config: EmbedderConfig, zh: str, en: str) -> EmbeddingError:
    path = config.path
    if path is not None and path.is_relative_to(_PROJECT):
        path = path.relative_to(
            _PROJECT
        )  # callers are shown it, and where the project lies is not their business
    return EmbeddingError(
        f"向量模型 {config.name} {zh}：请把完整的 sentence-transformers 模型文件夹放到 {path}"
        "（内含 config.json、分词器和权重文件；在能上网的机器上用 git lfs 或 modelscope/huggingface 下载后拷贝过来），"
        "或者建库时选用其他 embed_model",
        f"embedding model {config.name} {en}: put the whole sentence-transformers folder (config.json, tokenizer and "
        f"weights) at {path}; download it on a machine with network (git lfs, modelscope or huggingface) and "
        "copy it, or choose another embed_model",
    )
