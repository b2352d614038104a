"""Models to compare with, and a folder that only looks like one."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from embeddings import Embedder, EmbedderConfig, load_embedder
from embeddings.bundled import BundledEmbedder


@pytest.fixture(scope="session")
def bundled() -> BundledEmbedder:
    return BundledEmbedder(EmbedderConfig("e5-small", "bundled"))


@pytest.fixture(scope="session")
def e5_folder() -> Iterator[Path]:
    """The bundled model as a sentence-transformers folder; 470 MB, so it does not outlive the tests."""
    from tests.support.e5_folder import write_e5_folder

    with tempfile.TemporaryDirectory() as folder:
        yield write_e5_folder(Path(folder) / "e5")


@pytest.fixture(scope="session")
def local(e5_folder: Path) -> Embedder:
    """That folder, loaded in this process."""
    return load_embedder(EmbedderConfig("e5-local", "local", e5_folder, batch_size=8))


@pytest.fixture
def named_folder(tmp_path: Path) -> Path:
    """A folder that passes for a model until somebody loads it."""
    folder = tmp_path / "named"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    return folder
