"""A segment is read as it was written, or not at all."""

from pathlib import Path

import numpy as np
import pytest

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
