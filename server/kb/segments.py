"""A segment: the vectors of one document in one file, written once and never changed.

Together with the rows in SQL it is the truth from which every index is rebuilt. Plain `.npy` without pickle; its
SHA-256 stands in SQL, because a flipped bit in a vector file would otherwise load in silence.
"""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from server.core.durable import storing, sync_folder

Vectors = NDArray[np.float32]


class SegmentError(Exception):
    """The file is missing, torn or not the one that was written."""


def write_segment(path: Path, vectors: Vectors) -> str:
    """Write (n, dimension) vectors durably and return the file's SHA-256 in hexadecimal.

    Temporary name, fsync, rename, fsync of the folder: after a crash there is the whole file or none. Raises StorageFull.
    """
    with storing():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        matrix = np.ascontiguousarray(vectors, dtype="<f4")
        header = np.lib.format.header_data_from_array_1_0(matrix)
        with temporary.open("wb") as file:
            # As np.save does, which does not tell why a write fails.
            np.lib.format.write_array_header_1_0(file, header)
            file.write(matrix.data)
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        temporary.replace(path)
        sync_folder(path.parent)
    return digest


def read_segment(path: Path, sha256: str) -> Vectors:
    """Read a segment whole, (n, dimension). Raises SegmentError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SegmentError(f"{path.name}: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise SegmentError(f"{path.name}: the file is not the one that was written")
    vectors: Vectors = np.load(io.BytesIO(data), allow_pickle=False)
    return vectors
