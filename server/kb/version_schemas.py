"""Shapes of requests and answers about versions of files."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from server.core.contract import ContractBody
from server.kb.schemas import ChunkingOut, Described

# Of a version, as in `document_id` of the lists.
VersionId = Annotated[str, Field(min_length=1, max_length=32)]


class VersionOut(Described):
    document_id: str
    current: bool
    """The one that is shown and, when it is ready, searched."""
    state: str
    """As of a document; `archived`: an earlier version."""
    size: int
    """Bytes."""
    chunks: int
    chars: int
    sha256: str
    chunking: ChunkingOut
    """How it was cut."""
    custom_docs: bool
    """Its passages were given by people."""
    create_time: datetime
    ready_time: datetime | None
    archive_time: datetime | None
    """When another version took its place."""
    can_restore: bool


class WantedFile(Described):
    """Which file is to be handed out."""

    knowledge_base_name: str
    file_name: str
    preview: bool = False
    """Show PDF and text in the browser."""
    document_id: VersionId | None = None
    """One of its versions, see `/knowledge_base/versions`; for editors."""


class ComparedPassage(BaseModel):
    text: str
    anchor: dict[str, Any]


class VersionsComparedOut(Described):
    """What the newer version says differently. A passage that only moved is unchanged."""

    unchanged: int
    added: list[ComparedPassage]
    added_total: int
    """How many there are, of which the first are told."""
    removed: list[ComparedPassage]
    removed_total: int


class NamedVersion(ContractBody):
    knowledge_base_name: str
    file_name: str
    document_id: VersionId


class RestoredOut(Described):
    document_id: str
    state: str
    """`ready`: it is searched from now on; `waiting`: it is read again first, and the present version is searched until then."""
    job_id: str | None
