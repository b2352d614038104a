"""Shapes of requests and answers about packages."""

from fastapi import UploadFile

from server.kb.schemas import Described, WaitingFields


class PackageForm(WaitingFields):
    """A package that an export made, here or elsewhere."""

    file: UploadFile
    knowledge_base_name: str = ""
    """Another name than it had there."""


class ImportedOut(Described):
    knowledge_base_name: str
    documents: int
    embedded_again: bool
    """The embedding model here is not the one that its vectors are of: its documents are read again in the background."""
    waiting: int
    """Documents that the worker is still to read."""
    failed_files: dict[str, str]
    """What could not be read by then, with `wait`."""
