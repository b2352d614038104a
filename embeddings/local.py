"""Any sentence-transformers folder on this machine: m3e, bge, e5 … Needs the full installation (torch).

Never downloads: a folder that is missing is an error which says where to put it. Runs in the engine process (see
engine.py), or in a command such as init_db.py; never in the API process.
"""

import threading
from typing import Any, cast

from embeddings.base import Embedder, EmbedderConfig, EmbeddingError, Vectors


class LocalEmbedder(Embedder):
    """A model loaded by sentence-transformers with `local_files_only`."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__(config)
        self._model = _load(config)
        self._lock = threading.Lock()

    def _embed(self, texts: list[str], *, is_query: bool) -> Vectors:
        prefix = self.config.query_prefix if is_query else self.config.passage_prefix
        # Without a prefix of our own the folder's prompts apply (`query` and `document` in its config).
        encode = self._model.encode_query if is_query else self._model.encode_document
        with self._lock:
            vectors = encode(
                texts,
                prompt=prefix or None,
                batch_size=self.config.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        return cast("Vectors", vectors)


def check_folder(config: EmbedderConfig) -> None:
    """Raises EmbeddingError that says where the model belongs and how to get it."""
    path = config.path
    if path is None or not (path / "config.json").is_file():
        raise EmbeddingError(
            f"没有找到向量模型 {config.name}：请把 sentence-transformers 格式的模型文件夹放到 {path}"
            "（内含 config.json 和权重文件；在能上网的机器上用 git lfs 或 modelscope/huggingface 下载后拷贝过来），"
            "或者建库时选用其他 embed_model",
            f"embedding model {config.name} not found: put a sentence-transformers folder (config.json and weights) at "
            f"{path}; download it on a machine with network (git lfs, modelscope or huggingface) and copy it, "
            "or choose another embed_model",
        )


def _load(config: EmbedderConfig) -> Any:
    check_folder(config)
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise EmbeddingError(
            "本地向量模型需要完整安装：停止服务后运行 make run FULL=1",
            "a local embedding model needs the full installation: stop the server and run make run FULL=1",
        ) from None
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        return SentenceTransformer(
            str(config.path), device=config.device, local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EmbeddingError(
            f"向量模型文件夹 {config.path} 无法加载：{error}",
            f"the model folder {config.path} cannot be loaded: {error}",
        ) from error
