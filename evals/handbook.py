"""How well `quote` answers what people ask about the sample handbook, through the loaders, splitter and search.

    python -m evals.handbook [--show tuning]

The questions are short and use other words than the documents; some have no answer there. `--show` prints what is
quoted for the questions of one part. Nothing is tuned on the held-out part: look at its row only.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embeddings import EmbedderConfig, load_embedder
from embeddings.base import Vectors
from evals.datasets import embed_passages, embed_questions
from evals.ranking import Ranking
from server.core.chinese import fold
from server.kb.anchors import describe_context
from server.kb.embedding import content_of
from server.kb.loaders import load
from server.kb.loaders.base import LoadLimits
from server.kb.splitters import Chunking, split
from server.llm.quoting import Passage, Quote, quote

ROOT = Path(__file__).resolve().parents[1]
HANDBOOK = ROOT / "knowledge_base" / "samples" / "handbook"
QUESTIONS = ROOT / "tests" / "data" / "handbook_questions.json"
PARTS = ("tuning", "held-out")
CHUNKING = Chunking(chunk_size=250, chunk_overlap=50)


@dataclass(frozen=True, slots=True)
class Case:
    """A question with the hits that retrieval finds for it."""

    question: str
    answer: str | None
    part: str
    hits: list[Passage]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question. Quotes without the answer, or to a question that has none, are wrong."""

    case: Case
    quotes: list[Quote]
    milliseconds: float

    @property
    def first(self) -> bool:
        answer = self.case.answer
        return answer is not None and bool(self.quotes) and answer in self.quotes[0].text

    @property
    def anywhere(self) -> bool:
        answer = self.case.answer
        return answer is not None and any(answer in found.text for found in self.quotes)

    @property
    def wrong(self) -> bool:
        return bool(self.quotes) and not self.anywhere


def load_cases(top_k: int) -> list[Case]:
    """Read the handbook as the server would, and search it."""
    texts, contexts, contents = zip(*_passages(), strict=True)
    rows: list[dict[str, Any]] = json.loads(QUESTIONS.read_text("utf-8"))
    embedder = load_embedder(EmbedderConfig(name="e5-small", kind="bundled"))
    vectors: Vectors = embed_passages(embedder, contents)
    asked = embed_questions(embedder, [row["query"] for row in rows])
    ranking = Ranking(contents, vectors)
    found = [ranking.nearest(row["query"], vector, top_k) for row, vector in zip(rows, asked, strict=True)]
    return [
        Case(
            row["query"],
            row["answer"],
            row["part"],
            [
                Passage(number, texts[hit.chunk_id], hit.score, contexts[hit.chunk_id], hit.strength)
                for number, hit in enumerate(hits, start=1)
            ],
        )
        for row, hits in zip(rows, found, strict=True)
    ]


def _passages() -> Iterator[tuple[str, str, str]]:
    """Text, context, and what is embedded, of every passage."""
    for path in sorted(HANDBOOK.iterdir()):
        if path.name != "questions.csv":
            for passage in split(load(path, path.suffix, LoadLimits()), CHUNKING):
                context = describe_context(path.name, passage.anchor)
                yield passage.text, context, content_of(path.name, passage, is_plain=True).text


def ask(case: Case) -> Outcome:
    """Answer one question."""
    start = time.perf_counter()
    quotes = quote(case.question, case.hits, fold=fold)
    return Outcome(case, quotes, (time.perf_counter() - start) * 1000)


def main() -> None:
    """Ask everything, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--top-k", type=int, default=3, help="passages per question")
    parser.add_argument("--show", choices=PARTS, help="print the quotes of one part")
    options = parser.parse_args()
    outcomes = [ask(case) for case in load_cases(options.top_k)]
    for outcome in outcomes:
        if outcome.case.part == options.show:
            _show(outcome)
    print(
        "| questions | found | right first | right anywhere | wrongly refused | answered wrongly | unanswerable, refused "
        "| characters | ms p95 |"
    )
    print("| --- " * 9 + "|")
    for part in PARTS:
        print(f"| {part} {_row([outcome for outcome in outcomes if outcome.case.part == part])} |")


def _row(outcomes: list[Outcome]) -> str:
    answerable = [outcome for outcome in outcomes if outcome.case.answer is not None]
    unanswerable = [outcome for outcome in outcomes if outcome.case.answer is None]
    found = sum(any((o.case.answer or "") in hit.text for hit in o.case.hits) for o in answerable)
    lengths = [sum(len(item.text) for item in outcome.quotes) for outcome in outcomes if outcome.quotes]
    cells = [
        f"{len(answerable)}+{len(unanswerable)}",
        found,
        sum(outcome.first for outcome in answerable),
        sum(outcome.anywhere for outcome in answerable),
        sum(not outcome.quotes for outcome in answerable),
        sum(outcome.wrong for outcome in answerable),
        sum(not outcome.quotes for outcome in unanswerable),
        f"{np.mean(lengths):.0f}",
        f"{np.percentile([outcome.milliseconds for outcome in outcomes], 95):.1f}",
    ]
    return " | ".join(map(str, cells))


def _show(outcome: Outcome) -> None:
    case = outcome.case
    verdict = (
        ("refused" if not outcome.quotes else "WRONG")
        if case.answer is None
        else "right"
        if outcome.first
        else "right, not first"
        if outcome.anywhere
        else "REFUSED"
        if not outcome.quotes
        else "WRONG"
    )
    print(f"{verdict}: {case.question} → {case.answer}")
    for found in outcome.quotes:
        print(f"    [{found.passage}] {found.score:.2f} {found.text!r}")
    print()


if __name__ == "__main__":
    main()
