"""The embedding models that chat2llm knew by name (contract §5.6): local ones by their folders, a provider's by where it is."""

from pathlib import Path

# Name → where its weights are published; the folder is called by the name, by this, or by the last part of this.
LOCAL = {
    "ernie-tiny": "nghuyong/ernie-3.0-nano-zh",
    "ernie-base": "nghuyong/ernie-3.0-base-zh",
    "text2vec-base": "shibing624/text2vec-base-chinese",
    "text2vec": "GanymedeNil/text2vec-large-chinese",
    "text2vec-paraphrase": "shibing624/text2vec-base-chinese-paraphrase",
    "text2vec-sentence": "shibing624/text2vec-base-chinese-sentence",
    "text2vec-multilingual": "shibing624/text2vec-base-multilingual",
    "text2vec-bge-large-chinese": "shibing624/text2vec-bge-large-chinese",
    "m3e-small": "moka-ai/m3e-small",
    "m3e-base": "moka-ai/m3e-base",
    "m3e-large": "moka-ai/m3e-large",
    "bge-small-zh": "BAAI/bge-small-zh",
    "bge-base-zh": "BAAI/bge-base-zh",
    "bge-large-zh": "BAAI/bge-large-zh",
    "bge-large-zh-noinstruct": "BAAI/bge-large-zh-noinstruct",
    "bge-base-zh-v1.5": "BAAI/bge-base-zh-v1.5",
    "bge-large-zh-v1.5": "BAAI/bge-large-zh-v1.5",
    "piccolo-base-zh": "sensenova/piccolo-base-zh",
    "piccolo-large-zh": "sensenova/piccolo-large-zh",
}
# Name → (base_url, model) of the provider's OpenAI-compatible interface; empty where it has none for embeddings.
ONLINE = {
    "text-embedding-ada-002": ("https://api.openai.com/v1", "text-embedding-ada-002"),
    "zhipu-api": ("https://open.bigmodel.cn/api/paas/v4", "embedding-3"),
    "qwen-api": ("https://dashscope.aliyuncs.com/compatible-mode/v1", "text-embedding-v3"),
    "qianfan-api": ("https://qianfan.baidubce.com/v2", "embedding-v1"),
    "minimax-api": ("", ""),
}
# One of these is in every folder of a model.
_MARKS = ("config.json", "modules.json")


def is_model(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in _MARKS)


def find_folder(models_dir: Path, name: str) -> str | None:
    """Where below `models_dir` a local one is, or None."""
    repository = LOCAL[name]
    for folder in (name, repository, repository.rpartition("/")[2]):
        if is_model(models_dir / folder):
            return folder
    return None


def remedy(models_dir: Path, name: str) -> str:
    """What an operator does to have one that is not there; English, for configurations."""
    if name in LOCAL:
        return f"no model in {models_dir / name}; put the files of {LOCAL[name]} there"
    base_url, model = ONLINE[name]
    given = f" with kind = openai, base_url = {base_url}, model = {model} and api_key" if base_url else ""
    return f"a provider's embedding model needs a section of its own: add [embedding.{name}]{given}"
