"""What every test of a loader does: read a file, or be refused with a code and a sentence in both languages."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document

from server.kb.loaders import load
from server.kb.loaders.base import LoadError, LoadLimits

LIMITS = LoadLimits()
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "documents"


def read(path: Path, limits: LoadLimits = LIMITS) -> list[Document]:
    return list(load(path, path.suffix, limits))


def texts(path: Path, limits: LoadLimits = LIMITS) -> list[str]:
    return [document.page_content for document in read(path, limits)]


def pairs(path: Path, key: str = "heading") -> list[tuple[Any, str]]:
    """(metadata[key], text) of every document."""
    return [(document.metadata.get(key), document.page_content) for document in read(path)]


def refused(path: Path, limits: LoadLimits = LIMITS) -> str:
    """The code of the LoadError that reading raises; its words must be there in both languages."""
    with pytest.raises(LoadError) as caught:
        read(path, limits)
    error = caught.value
    assert any("\u4e00" <= char <= "\u9fff" for char in error.zh)
    assert error.zh.endswith("。")
    assert error.en.isascii()
    assert error.en.endswith(".")
    return error.code


def write(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return path
