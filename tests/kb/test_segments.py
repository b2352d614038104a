"""A segment is read as it was written, or not at all."""

import resource
from pathlib import Path

import numpy as np
import pytest

from server.core.errors import StorageFull
from server.kb.segments import SegmentError, read_segment, write_segment

VECTORS = np.random.default_rng(0).normal(size=(7, 384)).astype(np.float32)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "a" / "doc.1.npy"
    digest = write_segment(path, VECTORS)
    assert np.array_equal(read_segment(path, digest), VECTORS)
    assert [file.name for file in path.parent.iterdir()] == ["doc.1.npy"]


@pytest.mark.parametrize("damage", ["flip", "cut", "longer", "gone", "pickle"])
def test_damage_is_found(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "doc.npy"
    digest = write_segment(path, VECTORS)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[5000] ^= 1
    if damage == "cut":
        data = data[:-1]
    if damage == "longer":
        data += b"x"
    path.write_bytes(data)
    if damage == "gone":
        path.unlink()
    if damage == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(SegmentError):
        read_segment(path, digest)


def test_a_foreign_pickle_is_never_loaded(tmp_path: Path) -> None:
    import hashlib

    path = tmp_path / "doc.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        read_segment(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_the_file_is_numpys(tmp_path: Path, rows: int) -> None:
    write_segment(tmp_path / "doc.npy", VECTORS[:rows])
    np.save(tmp_path / "numpys.npy", VECTORS[:rows])
    assert (tmp_path / "doc.npy").read_bytes() == (tmp_path / "numpys.npy").read_bytes()


def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    """numpy would tell how much was written, and not why no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(StorageFull) as told:
            write_segment(tmp_path / "doc.npy", np.tile(VECTORS, (100, 1)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.value.code == "disk_full"


def test_another_fault_is_told_as_one_and_stands_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "kb").write_text("no folder")
    with pytest.raises(StorageFull) as told:
        write_segment(tmp_path / "kb" / "doc.npy", VECTORS)
    assert told.value.code == "storage_unavailable"
    assert str(tmp_path / "kb") in caplog.text
