"""How well the answerer without a language model quotes, and how well it refuses.

    python evals/quote.py /path/to/cmrc2018_dev.json [--limit N] [--top-k 3] [--chunked]

Every question is asked of three knowledge bases, searched by meaning and by words: one of all passages,
one of the half of the articles that its own article belongs to, and one of the other half, which cannot answer it.
The weights were fitted on the tuning half (evals/fit_quote.py), so read the held-out row.
"""

import argparse
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from embeddings import EmbedderConfig, load_embedder
from embeddings.base import Vectors
from evals.datasets import (
    Dataset,
    Question,
    chunk,
    embed_passages,
    embed_questions,
    half_of_articles,
    read_squad,
)
from evals.ranking import Ranking
from server.core.chinese import fold
from server.llm.quoting import Passage, quote

KnowledgeBase = Literal["all", "own half", "other half"]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Corpus:
    """A data set as a knowledge base: its texts (passages or chunks of them), vectors, and which half is whose.

    `origins` is the index of the passage that each text comes from. Tuning flags are per text and per question.
    """

    dataset: Dataset
    texts: list[str]
    origins: list[int]
    text_vectors: Vectors
    question_vectors: Vectors
    tuning_texts: Flags
    tuning_questions: Flags

    def hits(self, base: KnowledgeBase, top_k: int) -> list[list[Passage]]:
        """What retrieval finds for each question; a passage's number is the index of its text."""
        found: list[list[Passage]] = [[] for _ in self.dataset.questions]
        for half in (True, False):
            there = np.flatnonzero(_members(self.tuning_texts, base, own_half=half))
            ranking = Ranking([self.texts[index] for index in there], self.text_vectors[there])
            asked = np.flatnonzero(self.tuning_questions == half)
            for question in tqdm(asked.tolist(), desc=base, leave=False):
                text, vector = self.dataset.questions[question].text, self.question_vectors[question]
                found[question] = [
                    Passage(int(there[hit.chunk_id]), hit.text, hit.score, strength=hit.strength)
                    for hit in ranking.nearest(text, vector, top_k)
                ]
        return found


def load_corpus(path: Path, *, chunked: bool) -> Corpus:
    """Read, cut and embed a data set."""
    dataset = read_squad(path)
    texts, origins = (
        chunk(dataset.passages) if chunked else (dataset.passages, list(range(len(dataset.passages))))
    )
    embedder = load_embedder(EmbedderConfig(name="e5-small", kind="bundled"))
    tuning = half_of_articles(dataset.articles)
    return Corpus(
        dataset,
        texts,
        origins,
        embed_passages(embedder, texts),
        embed_questions(embedder, [question.text for question in dataset.questions]),
        np.array([dataset.articles[origin] in tuning for origin in origins]),
        np.array([dataset.articles[question.passage] in tuning for question in dataset.questions]),
    )


def _members(tuning_texts: Flags, base: KnowledgeBase, *, own_half: bool) -> Flags:
    if base == "all":
        return np.ones_like(tuning_texts)
    return np.equal(tuning_texts, own_half if base == "own half" else not own_half)


@dataclass(frozen=True, slots=True)
class Results:
    """One entry per question: was a gold answer quoted, how much, was it refused, how long did it take."""

    gold: Flags
    characters: NDArray[np.int64]
    refused: Flags
    milliseconds: NDArray[np.float64]


def ask(questions: Iterable[Question], hits: Iterable[list[Passage]], label: str) -> Results:
    """Answer every question from its hits."""
    rows = []
    for question, passages in tqdm(list(zip(questions, hits, strict=True)), desc=label, leave=False):
        start = time.perf_counter()
        quotes = quote(question.text, passages, fold=fold)
        elapsed = (time.perf_counter() - start) * 1000
        # No gold answer may be found across the seam of two quotes.
        text = "\0".join(item.text for item in quotes)
        gold = any(answer in text for answer in question.answers)
        rows.append((gold, sum(len(item.text) for item in quotes), not quotes, elapsed))
    columns = list(zip(*rows, strict=True))
    return Results(*(np.array(column) for column in columns))


def main() -> None:
    """Read the arguments, ask everything, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a data set in SQuAD form")
    parser.add_argument("--limit", type=int, help="ask only the first N questions")
    parser.add_argument("--top-k", type=int, default=3, help="passages per question")
    parser.add_argument(
        "--chunked", action="store_true", help="chunks of 250 characters instead of whole passages"
    )
    options = parser.parse_args()
    corpus = load_corpus(options.path, chunked=options.chunked)
    questions = corpus.dataset.questions[: options.limit]
    bases: tuple[KnowledgeBase, ...] = ("all", "own half", "other half")
    hits = {base: corpus.hits(base, options.top_k)[: options.limit] for base in bases}
    results = {base: ask(questions, hits[base], base) for base in bases}

    pairs = zip(questions, hits["all"], strict=True)
    found = np.array(
        [any(corpus.origins[hit.number] == question.passage for hit in found) for question, found in pairs]
    )
    tuning = corpus.tuning_questions[: options.limit]
    print(f"{len(corpus.texts)} texts, top {options.top_k}")
    print(
        "| questions | found | gold in quote | characters | right refusals | wrong refusals | wrong, own half | ms p50 | ms p95 |"
    )
    print("| --- " * 9 + "|")
    for name, rows in (("tuning half", tuning), ("held-out half", ~tuning), ("all", np.ones_like(tuning))):
        if rows.any():
            print(f"| {name} {rows.sum()} | {_row(results, found, rows)} |")


def _row(results: dict[KnowledgeBase, Results], found: Flags, rows: Flags) -> str:
    asked = results["all"]
    refusals = [results["other half"].refused, asked.refused, results["own half"].refused]
    found_share, gold, *refused = (f"{flags[rows].mean():.1%}" for flags in [found, asked.gold, *refusals])
    times = [f"{time:.1f}" for time in np.percentile(asked.milliseconds[rows], [50, 95])]
    return " | ".join([found_share, gold, f"{asked.characters[rows].mean():.0f}", *refused, *times])


if __name__ == "__main__":
    main()
