"""How many passages have a term: what BM25 must know of a whole knowledge base.

Each document stores its own counts, written with its passages and never changed; a process adds them up as it takes documents
in and out, as it does with their vectors. So there is no table that every upload would have to change, and nothing drifts.
"""

import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from server.kb.analysis import is_indexed, terms

Hashes = NDArray[np.uint32]
Counts = NDArray[np.int64]

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
# Characters of a term in the database's text index: 30 bits. No word of any stop list is that long.
_TOKEN_LENGTH = 6
# Counts that are added up together.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, slots=True)
class DocumentTerms:
    """A document's counts: how many passages, how many characters they have, and packed, how many of them have a term."""

    document_id: str
    passages: int
    length: int
    packed: bytes


def token(kb_id: str, term: str) -> str:
    """A term as the database's text index holds it. Each knowledge base has tokens of its own, so none is searched through
    the passages of the others."""
    value = zlib.crc32(term.encode("utf-8", "replace"), zlib.crc32(kb_id.encode()))
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(0, 5 * _TOKEN_LENGTH, 5))


def index_text(kb_id: str, found: Iterable[str]) -> str:
    """What the text index gets of a passage: the tokens of its terms, each once."""
    return " ".join(dict.fromkeys(token(kb_id, term) for term in found if is_indexed(term)))


def passage_tokens(kb_id: str, text: str) -> str:
    """What the text index gets of one passage."""
    return index_text(kb_id, dict.fromkeys(terms(text)))


def analyse(kb_id: str, document_id: str, texts: Sequence[str]) -> tuple[list[str], DocumentTerms]:
    """For each passage what the text index gets, and the counts of all. Blocks: a millisecond for 300 characters."""
    counts: Counter[int] = Counter()
    tokens, length = [], 0
    for text in texts:
        found = dict.fromkeys(terms(text))
        tokens.append(index_text(kb_id, found))
        counts.update({_hash(term) for term in found})
        length += len(text)
    return tokens, DocumentTerms(document_id, len(texts), length, _pack(counts))


def recount(counts: DocumentTerms, gone: Sequence[str], fresh: Sequence[str]) -> DocumentTerms:
    """The counts of a document without some passages and with others, by their texts: what `analyse` would say of all."""
    keys, values = _unpack(counts.packed)
    tally = dict(zip(keys.tolist(), values.tolist(), strict=True))
    for sign, texts in ((1, fresh), (-1, gone)):
        for text in texts:
            for key in {_hash(term) for term in terms(text)}:
                tally[key] = tally.get(key, 0) + sign
    return DocumentTerms(
        counts.document_id,
        counts.passages + len(fresh) - len(gone),
        counts.length + sum(map(len, fresh)) - sum(map(len, gone)),
        _pack({key: value for key, value in tally.items() if value > 0}),
    )


def _pack(counts: Mapping[int, int]) -> bytes:
    keys = np.array(sorted(counts), dtype="<u4")
    values = np.array([counts[key] for key in keys.tolist()], dtype="<u4")
    return zlib.compress(np.diff(keys, prepend=np.uint32(0)).tobytes() + values.tobytes(), 1)


def _hash(term: str) -> int:
    return zlib.crc32(term.encode("utf-8", "replace"))


def _unpack(packed: bytes) -> tuple[Hashes, Counts]:
    both = np.frombuffer(zlib.decompress(packed), dtype="<u4")
    half = len(both) // 2
    return np.cumsum(both[:half], dtype=np.uint32), both[half:].astype(np.int64)


def _sum(parts: Sequence[tuple[Hashes, Counts]]) -> tuple[Hashes, Counts]:
    """Each hash once, in order, with the sum of its counts."""
    keys = np.concatenate([keys for keys, _ in parts])
    if not len(keys):
        return keys, np.empty(0, np.int64)
    counts = np.concatenate([counts for _, counts in parts]).astype(np.int32)
    # Sorted as one number each, which takes a quarter of the time of sorting places.
    both = np.sort((keys.astype(np.uint64) << np.uint64(32)) | counts.view(np.uint32))
    keys = (both >> np.uint64(32)).astype(np.uint32)
    counts = both.astype(np.uint32).view(np.int32)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[starts], np.add.reduceat(counts, starts, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The counts of a knowledge base at one moment; a change makes a new one."""

    documents: dict[str, DocumentTerms]
    passages: int
    length: int
    hashes: Hashes
    counts: Counts

    @classmethod
    def empty(cls) -> "Lexicon":
        return cls({}, 0, 0, np.empty(0, np.uint32), np.empty(0, np.int64))

    def changed(self, gone: Iterable[str], fresh: Sequence[DocumentTerms]) -> "Lexicon":
        """Without some documents and with others. Blocks: about a millisecond per document of a hundred passages."""
        left = [self.documents[document_id] for document_id in gone]
        documents = dict(self.documents)
        for document in left:
            del documents[document.document_id]
        # Some documents at a time: a million passages have a hundred million counts.
        parts, waiting = [(self.hashes, self.counts)], 0
        for sign, changes in ((1, fresh), (-1, left)):
            for keys, values in (_unpack(document.packed) for document in changes):
                parts.append((keys, sign * values))
                waiting += len(keys)
                if waiting > _AT_ONCE:
                    parts, waiting = [_sum(parts)], 0
        documents |= {document.document_id: document for document in fresh}
        hashes, counts = _sum(parts)
        kept = counts > 0
        return Lexicon(
            documents,
            sum(document.passages for document in documents.values()),
            sum(document.length for document in documents.values()),
            hashes[kept],
            counts[kept],
        )

    def frequencies(self, wanted: Sequence[str]) -> Counts:
        """How many passages have each term."""
        keys = np.array([_hash(term) for term in wanted], dtype=np.uint32)
        if not len(self.hashes):
            return np.zeros(len(keys), np.int64)
        places = np.minimum(np.searchsorted(self.hashes, keys), len(self.hashes) - 1)
        return np.where(self.hashes[places] == keys, self.counts[places], 0)

    @property
    def average(self) -> float:
        """Characters of a passage."""
        return self.length / self.passages if self.passages else 0.0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        packed = sum(len(document.packed) for document in self.documents.values())
        return packed + self.hashes.nbytes + self.counts.nbytes


def sum_frequencies(lexicons: Iterable[Lexicon], wanted: Sequence[str]) -> Counts:
    """How many passages of them all have each term."""
    total = np.zeros(len(wanted), np.int64)
    for lexicon in lexicons:
        total += lexicon.frequencies(wanted)
    return total
