"""Synthetic unit vectors that are spread as the bundled model's are.

Measured on 15,000 passages of CMRC 2018 and DRCD: the mean has the length 0.904, the n-th principal component the variance n^-0.65, and
a passage's ten closest are as far as those of ten passages to a topic with six tenths of the variance (docs/scale.md).
"""

from collections.abc import Iterator

import numpy as np

from server.kb.vectorstores.base import Vectors

DIMENSION = 384
_MEAN, _DECAY, _PER_TOPIC, _SHARED = 0.904, 0.325, 10, 0.6


def passages(number: int, seed: int = 0, *, at_once: int = 10_000) -> Iterator[Vectors]:
    """`number` vectors in batches."""
    rng, world = np.random.default_rng(seed), np.random.default_rng(7)
    shape = (np.arange(1, DIMENSION + 1) ** -_DECAY).astype(np.float32)
    shape *= np.sqrt(1 - _MEAN**2) / np.linalg.norm(shape)
    mean = world.normal(size=DIMENSION).astype(np.float32)
    mean *= _MEAN / np.linalg.norm(mean)
    topics = world.standard_normal((max(1, number // _PER_TOPIC), DIMENSION), dtype=np.float32) * shape
    for start in range(0, number, at_once):
        size = min(at_once, number - start)
        own = rng.standard_normal((size, DIMENSION), dtype=np.float32) * shape
        vectors = mean + np.sqrt(_SHARED) * topics[rng.integers(0, len(topics), size)]
        vectors += np.sqrt(1 - _SHARED).astype(np.float32) * own
        yield (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def questions(number: int, among: int, seed: int = 1) -> Vectors:
    """Some more of the topics that `among` passages have."""
    rng = np.random.default_rng(seed)
    batches = passages(among, seed=1000 + seed, at_once=max(number, 1))
    first = next(batches)
    return first[rng.permutation(len(first))[:number]]
