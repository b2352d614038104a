"""Shapes of requests and answers about models. `controller_address` of old pages is no field: nothing is fetched there."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from server.core.contract import ContractBody

MAX_TEXTS = 256
MAX_CHARS = 200_000

Name = Annotated[str, Field(min_length=1, max_length=64)]


class Described(BaseModel):
    model_config = ConfigDict(strict=True, use_attribute_docstrings=True)


class Nothing(ContractBody):
    """Whatever old pages send; it counts for nothing."""


class ModelName(ContractBody):
    model_name: Name
    """One of `list_config_models`."""


class ChangeModel(ModelName):
    """Stop the one, start the other."""

    new_model_name: Name
    """The model to start; may be the same, which starts it again."""


class ModelConfig(Described):
    """What may be known of a model: no keys, no addresses, no paths."""

    kind: str
    """quote (built in), openai, zhipuai or langchain (a provider), llama.cpp or command (a local engine)."""
    preset: str
    model: str
    """Its name at the provider."""
    context_tokens: int
    """Room for prompt and answer."""
    online_api: bool
    """True for a provider's model."""
    default: bool
    """Answers when a request names no model."""


class Changed(Described):
    """The local models that an order ended and began; null for one that is not local."""

    stopped: str | None
    started: str | None


class ServerConfigs(Described):
    controller_address: str | None = None
    """There is no controller."""
    openai_api_address: str | None = None
    """There is no separate API of OpenAI's protocol."""
    api_address: str
    version: str
    llm_model: str
    """The default model."""
    embed_model: str
    """The embedding model of new knowledge bases."""
    embed_models: list[str]
    vector_store_type: str = "faiss"
    chunk_size: int
    chunk_overlap: int
    top_k: int
    score_threshold: float
    history_len: int
    """Rounds of a conversation that a model is given at most."""


class EmbedTexts(ContractBody):
    texts: Annotated[list[str], Field(max_length=MAX_TEXTS)]
    """Up to 256 texts, 200,000 characters in all."""
    embed_model: str | None = None
    """The name of an `[embedding.NAME]` section; none means the server's default."""
    to_query: bool = False
    """True: as questions, false: as passages; some models tell them apart."""
