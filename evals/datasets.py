"""Question answering sets in SQuAD form, their chunks, and embeddings kept on disk between runs.

Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, 2016, arXiv:1606.05250.
Cui et al., A Span-Extraction Dataset for Chinese Machine Reading Comprehension (CMRC 2018), arXiv:1810.07366.
Shao et al., DRCD: a Chinese Machine Reading Comprehension Dataset, 2018, arXiv:1806.00920.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from langchain_text_splitters import RecursiveCharacterTextSplitter
from numpy.typing import NDArray
from tqdm import tqdm

from embeddings import Embedder
from embeddings.base import Vectors

CACHE = Path(__file__).parent / "cache"
# How users chunk Chinese documents by default.
CHUNK_CHARACTERS = 250
CHUNK_OVERLAP = 50
CHUNK_SEPARATORS = ["\n\n", "\n", "。", "！", "？", "；", "，", ""]
# Passages per call of the embedder: large enough to be quick, small enough for a moving progress bar.
EMBED_BATCH = 16


@dataclass(frozen=True, slots=True)
class Question:
    """One question, the accepted answers, and the index of the passage it was asked about."""

    text: str
    answers: tuple[str, ...]
    passage: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Passages with the article each stands in, and the questions asked about them."""

    passages: list[str]
    articles: list[str]
    questions: list[Question]


def read_squad(path: Path) -> Dataset:
    """Read a SQuAD file, with or without a byte order mark. Identical paragraph texts become one passage."""
    index: dict[str, int] = {}
    articles: list[str] = []
    questions: list[Question] = []
    for article in json.loads(path.read_text(encoding="utf-8-sig"))["data"]:
        for paragraph in article["paragraphs"]:
            passage = index.setdefault(paragraph["context"], len(index))
            if passage == len(articles):
                articles.append(article["title"])
            for item in paragraph["qas"]:
                answers = tuple(dict.fromkeys(answer["text"] for answer in item["answers"]))
                questions.append(Question(item["question"], answers, passage))
    return Dataset(list(index), articles, questions)


def chunk(passages: Sequence[str]) -> tuple[list[str], list[int]]:
    """Cut passages as a knowledge base would; returns the chunks and the passage each one was cut from."""
    splitter = RecursiveCharacterTextSplitter(
        chunk_size=CHUNK_CHARACTERS,
        chunk_overlap=CHUNK_OVERLAP,
        separators=CHUNK_SEPARATORS,
        keep_separator="end",
    )
    chunks: list[str] = []
    origins: list[int] = []
    for origin, passage in enumerate(passages):
        pieces = splitter.split_text(passage)
        chunks += pieces
        origins += [origin] * len(pieces)
    return chunks, origins


def half_of_articles(articles: Sequence[str], seed: int = 0) -> set[str]:
    """A fixed random half of the articles: parameters are tuned on it, and checked on the other one."""
    names = sorted(set(articles))
    random.Random(seed).shuffle(names)  # noqa: S311 - a reproducible split, not a secret
    return set(names[: len(names) // 2])


def nearest(questions: Vectors, passages: Vectors, count: int) -> tuple[NDArray[np.int64], Vectors]:
    """For each question the `count` nearest passages, nearest first: their indices and squared L2 distances."""
    distances = 2 - 2 * (questions @ passages.T)
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    return order, np.take_along_axis(distances, order, axis=1)


def embed_passages(embedder: Embedder, texts: Sequence[str], cache: Path = CACHE) -> Vectors:
    """Embed passages, or read their vectors from the cache. Raises EmbeddingError."""
    file = _cache_file(embedder, "passages", texts, cache)
    if not file.exists():
        starts = tqdm(range(0, len(texts), EMBED_BATCH), desc="passages", unit="batch")
        _save(file, np.vstack([embedder.embed_passages(texts[i : i + EMBED_BATCH]) for i in starts]))
    return _load(file)


def embed_questions(embedder: Embedder, texts: Sequence[str], cache: Path = CACHE) -> Vectors:
    """Embed questions, or read their vectors from the cache. Raises EmbeddingError."""
    file = _cache_file(embedder, "questions", texts, cache)
    if not file.exists():
        _save(file, np.vstack([embedder.embed_question(text) for text in tqdm(texts, desc="questions")]))
    return _load(file)


def _cache_file(embedder: Embedder, kind: str, texts: Sequence[str], cache: Path) -> Path:
    """The name says it all: another model, other texts or another kind never meet in one file."""
    probe = embedder.fingerprint().to_json()
    key = json.dumps([probe, kind, list(texts)], ensure_ascii=True).encode()
    return cache / f"{embedder.name}-{kind}-{hashlib.sha256(key).hexdigest()[:16]}.npy"


def _save(file: Path, vectors: Vectors) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written aside first: an interrupted run leaves no half file under the final name.
    unfinished = file.with_suffix(".part.npy")
    np.save(unfinished, vectors)
    unfinished.replace(file)


def _load(file: Path) -> Vectors:
    vectors: Vectors = np.load(file)
    return vectors
