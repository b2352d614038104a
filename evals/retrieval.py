"""How well passages are found, through the product's own search; the tables of docs/quality.md.

    python -m evals.retrieval [--data FOLDER] [--limit N] [--write]

CMRC 2018 dev is in Simplified script, DRCD dev in Traditional; `folded` asks DRCD's questions in Simplified. Every error is
made once in every third question (evals/errors.py). A question counts as found at k when the passage that it was asked about is
among the first k; cut into chunks, when one of its chunks is. Identical passages count once.
"""

import argparse
import asyncio
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from evals.datasets import Dataset, half_of_articles, read_squad
from evals.errors import ERRORS
from evals.product import CHUNKS, WHOLE, Product, passage_of, product
from server.core.chinese import fold, plain
from server.kb.fusion import Candidate
from server.kb.hits import Hit, Trace
from server.kb.models import Chunk, Document, KnowledgeBase
from server.llm.quoting import Passage, quote

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "docs" / "quality.md"
FILES = {"CMRC": "cmrc2018_dev.json", "DRCD": "drcd_dev.json"}
DEPTH = 10
# Questions of each kind of error: one in three, as embedding them all takes an hour.
EVERY = 3
# What a reader's answer is made from.
TOP_K = 3
Ranks = NDArray[np.int64]
_NONE = 10**6


@dataclass(frozen=True, slots=True)
class Goal:
    """Something that is wanted (issue 6), and what was reached."""

    name: str
    wanted: float
    reached: float
    at_most: bool = False

    def line(self) -> str:
        margin = (self.wanted - self.reached) if self.at_most else (self.reached - self.wanted)
        sign = "≤" if self.at_most else "≥"
        # What is exactly as wanted is met, whatever floats make of it.
        verdict = f"met by {abs(margin):.4f}" if margin > -1e-9 else f"**missed by {-margin:.4f}**"
        return f"| {self.name} | {sign} {self.wanted:.3f} | {self.reached:.4f} | {verdict} |"


GOALS_HEAD = "| goal | wanted | reached | |\n| --- | --- | --- | --- |"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: ranks from 0."""

    name: str
    ranks: Ranks
    milliseconds: float

    @property
    def figures(self) -> tuple[float, float, float, float]:
        recall = [float((self.ranks < k).mean()) for k in (1, 5, 10)]
        reciprocal = np.where(self.ranks < DEPTH, 1 / (self.ranks + 1.0), 0.0).mean()
        return recall[0], recall[1], recall[2], float(reciprocal)

    def line(self) -> str:
        figures = " | ".join(f"{figure:.4f}" for figure in self.figures)
        spent = f"{self.milliseconds:.1f}" if self.milliseconds else ""
        return f"| {self.name} | {len(self.ranks)} | {figures} | {spent} |"


HEAD = "| questions | number | R@1 | R@5 | R@10 | MRR@10 | ms |\n| --- | --- | --- | --- | --- | --- | --- |"


def ranks_of(found: Sequence[tuple[list[Hit], Trace]], wanted: Sequence[int]) -> Ranks:
    """Where the right passage stands among the different ones."""
    ranks = []
    for (hits, _), passage in zip(found, wanted, strict=True):
        order = list(dict.fromkeys(passage_of(hit) for hit in hits))
        ranks.append(order.index(passage) if passage in order else _NONE)
    return np.array(ranks)


@dataclass(frozen=True, slots=True)
class Asked:
    """A data set, the knowledge base that holds its passages, and how many of its questions are asked."""

    running: Product
    kb: KnowledgeBase
    dataset: Dataset
    limit: int | None

    async def measure(
        self, name: str, change: Callable[[str], str] = str, every: int = 1
    ) -> tuple[Row, list[tuple[list[Hit], Trace]]]:
        """Ask one in `every` question, with a change."""
        questions = self.dataset.questions[: self.limit][::every]
        found = await self.running.ask(
            self.kb, [change(question.text) for question in questions], top_k=DEPTH
        )
        spent = [
            sum(value for step, value in trace.milliseconds.items() if step != "embed") for _, trace in found
        ]
        ranks = ranks_of(found, [question.passage for question in questions])
        row = Row(name, ranks, float(np.median(spent)))
        print(row.line(), flush=True)
        return row, found

    async def single(self, name: str, found: Sequence[tuple[list[Hit], Trace]]) -> list[Row]:
        """What each of the two searches finds alone, and what ranks make of them, from the same traces.

        Exact as far as their candidates go, fifty of each.
        """
        async with self.running.services.database.read() as session:
            query = select(Chunk.id, Document.file_name).join(Document, Document.id == Chunk.document_id)
            names = {
                row_id: int(PurePath(file).stem)
                for row_id, file in await session.execute(query.where(Chunk.kb_id == self.kb.id))
            }
        opinions: dict[str, Callable[[Candidate], float]] = {
            "by meaning alone": lambda one: -(one.vector_rank or _NONE),
            "by words alone": lambda one: -(one.word_rank or _NONE),
            "ranks fused": lambda one: sum(
                1 / (10 + rank) for rank in (one.vector_rank, one.word_rank) if rank
            ),
        }
        rows = []
        for label, opinion in opinions.items():
            ranks = []
            for (_, trace), question in zip(found, self.dataset.questions[: self.limit], strict=True):
                order = [
                    names[one.chunk_id] for one in sorted(trace.candidates, key=lambda one: -opinion(one))
                ]
                ranks.append(order.index(question.passage) if question.passage in order else _NONE)
            rows.append(Row(f"{name}, {label}", np.array(ranks), 0.0))
            print(rows[-1].line(), flush=True)
        return rows


async def refusals(running: Product, dataset: Dataset, limit: int | None) -> tuple[str, list[Goal]]:
    """CMRC's questions asked of the half of the articles that has the answer, and of the half that has not.

    What they are judged by is the half that nothing was fitted on.
    """
    tuning = half_of_articles(dataset.articles)
    bases = {}
    for name, is_tuning in (("tuning half", True), ("held-out half", False)):
        only = {n for n, article in enumerate(dataset.articles) if (article in tuning) == is_tuning}
        bases[is_tuning] = await running.upload(name, dataset, WHOLE, only)
    lines = []
    for label, is_tuning in (("tuning", True), ("held out", False)):
        questions = [q for q in dataset.questions if (dataset.articles[q.passage] in tuning) == is_tuning][
            :limit
        ]
        texts = [question.text for question in questions]
        cells, shares = [f"{label} | {len(texts)}"], []
        for base in (is_tuning, not is_tuning):
            refused = gold = characters = 0
            for question, (hits, _) in zip(
                questions, await running.ask(bases[base], texts, top_k=TOP_K), strict=True
            ):
                passages = [
                    Passage(n, hit.text, hit.score, "", hit.strength) for n, hit in enumerate(hits, start=1)
                ]
                quotes = quote(question.text, passages, fold=fold)
                refused += not quotes
                said = "\0".join(item.text for item in quotes)
                gold += any(answer in said for answer in question.answers)
                characters += sum(len(item.text) for item in quotes)
            shares.append(refused / len(texts))
            cells.append(f"{shares[-1]:.1%}")
            if base == is_tuning:
                cells.append(f"{gold / len(texts):.1%} | {characters / max(1, len(texts) - refused):.0f}")
        lines.append("| " + " | ".join(cells) + " |")
        print(lines[-1], flush=True)
    head = (
        "| questions | number | wrongly refused (own half) | gold answer quoted | characters | rightly refused (other half) |\n"
        + "| --- " * 6
        + "|"
    )
    goals = [
        Goal("CMRC, asked of the wrong half: refused", 0.90, shares[1]),
        Goal("CMRC, asked of the right half: refused", 0.05, shares[0], at_most=True),
    ]
    return "\n".join([head, *lines]), goals


async def whole(
    running: Product, name: str, dataset: Dataset, limit: int | None
) -> tuple[list[Row], list[Goal]]:
    """Passages as they are: found by whatever is typed."""
    asked = Asked(running, await running.upload(name, dataset, WHOLE), dataset, limit)
    row, found = await asked.measure(f"{name} dev")
    rows = [row, *await asked.single(name, found)]
    one, five, _, mrr = row.figures
    if name == "CMRC":
        goals = [
            Goal("CMRC R@1", 0.985, one),
            Goal("CMRC R@5", 0.998, five),
            Goal("CMRC MRR@10", 0.990, mrr),
        ]
    else:
        other, _ = await asked.measure("DRCD, questions in the other script", plain)
        rows.append(other)
        lost = one - other.figures[0]
        goals = [
            Goal("DRCD R@1", 0.965, one),
            Goal("DRCD R@5", 0.996, five),
            Goal("DRCD R@1, lost in the other script", 0.005, lost, at_most=True),
        ]
    same = Row("", row.ranks[::EVERY], 0.0).figures[1]
    for error, change in ERRORS.items():
        wrong, _ = await asked.measure(f"{name}, {error}", change, EVERY)
        rows.append(wrong)
        goals.append(Goal(f"{name} R@5, lost by {error}", 0.03, same - wrong.figures[1], at_most=True))
    return rows, goals


async def run(data: Path, limit: int | None) -> str:
    """All tables, in Markdown."""
    sets = {name: read_squad(data / file) for name, file in FILES.items()}
    started = time.monotonic()
    tables: list[list[Row]] = []
    goals: list[Goal] = []
    print(HEAD)
    async with product() as running:
        for name, dataset in sets.items():
            rows, reached = await whole(running, name, dataset, limit)
            tables.append(rows)
            goals += reached
        tables.append([])
        for name, dataset in sets.items():
            asked = Asked(running, await running.upload(f"{name}-250", dataset, CHUNKS), dataset, limit)
            row, _ = await asked.measure(f"{name}, chunks of 250/50")
            tables[-1].append(row)
            goals.append(Goal(f"{name}, chunks of 250/50: R@1 of the document", 0.97, row.figures[0]))
        refused, reached = await refusals(running, sets["CMRC"], limit)
    goals += reached
    met = "\n".join([GOALS_HEAD, *(goal.line() for goal in goals)])
    print(met)
    where = f"{date.today():%Y-%m-%d}, {machine()}, {(time.monotonic() - started) / 60:.0f} minutes."  # noqa: DTZ011
    return "\n\n".join(
        [where, met, *("\n".join([HEAD, *(row.line() for row in rows)]) for rows in tables), refused]
    )


def machine() -> str:
    """What it runs on."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text("utf-8")) if info.exists() else []
    return f"{len(os.sched_getaffinity(0))} × {names[0] if names else platform.machine()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "retrieval")
    parser.add_argument("--limit", type=int, help="only the first questions")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/quality.md")
    options = parser.parse_args()
    tables = asyncio.run(run(options.data, options.limit))
    if options.write:
        before, mark, rest = REPORT.read_text("utf-8").partition("<!-- tables -->")
        after = rest.partition("<!-- end of tables -->")
        REPORT.write_text(f"{before}{mark}\n{tables}\n{after[1]}{after[2]}", "utf-8")


if __name__ == "__main__":
    main()
