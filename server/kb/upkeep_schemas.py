"""Shapes of requests about the upkeep of a knowledge base. Field names of the contract paths are the contract's."""

from typing import Annotated

from pydantic import Field, field_validator

from server.core.contract import ContractBody
from server.kb.custom import Passages, parse_custom_docs
from server.kb.schemas import ChunkingFields, Described, WaitingFields


class UpdateZhName(ContractBody):
    knowledge_base_name: str
    kb_zh_name: str = Field(max_length=64)
    """The name that people see."""


class ZhNameOut(Described):
    kb_zh_name: str


class UpdateInfo(ContractBody):
    knowledge_base_name: str
    kb_info: str = Field(max_length=200)
    """What is in it, in a sentence."""


class InfoOut(Described):
    kb_info: str


class RenameKB(Described):
    knowledge_base_name: str
    new_name: str
    """Up to 64 characters, and not the name of another one. Conversations that carry the old name must be told."""


class UpdateChunking(ChunkingFields):
    """What documents are cut by from now on when an upload does not say. What is left out is the server's setting again;
    documents that are there change when they are read again, see `recreate_vector_store`."""

    knowledge_base_name: str


class UpdateDocs(ChunkingFields, WaitingFields):
    """Read files again. `not_refresh_vs_cache` is accepted and changes nothing, see `upload_docs`."""

    knowledge_base_name: str
    file_names: Annotated[list[str], Field(max_length=10_000)]
    override_custom_docs: bool = False
    """Read the file itself again where people gave its passages; without it those stay."""
    docs: str = "{}"
    """Custom docs as JSON text, as in `upload_docs`; their files need not stand in `file_names`."""
    not_refresh_vs_cache: bool = False

    @field_validator("docs")
    @classmethod
    def _check_docs(cls, value: str) -> str:
        parse_custom_docs(value)
        return value

    @property
    def custom_docs(self) -> dict[str, Passages]:
        return parse_custom_docs(self.docs)


class RecreateVectorStore(ChunkingFields):
    """Read everything again. Chunking that is left out is the knowledge base's own; passages that people gave stay."""

    knowledge_base_name: str
    allow_empty_kb: bool = True
    """False refuses a knowledge base without files."""
    vs_type: str | None = None
    embed_model: str | None = None
    """Change over to this `[embedding.NAME]`; none keeps the present one."""
    not_refresh_vs_cache: bool = False
