"""What a calibrated knowledge base refuses and loses, and what reading a hit's neighbours brings.

    python -m evals.calibration [--data FOLDER] [--every N]

CMRC's articles in two halves, each a knowledge base of the product that is calibrated by its own sentences and, apart from that, by
a hundred of its questions; one in `every` of all questions is asked of both halves. A gold passage is lost when it is found and
worth less than the floor. `answer read`: the gold answer stands in what a model would read of the best three hits.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.stage import CALLER
from evals.datasets import Dataset, Question, half_of_articles, read_squad
from evals.product import CHUNKS, WHOLE, Product, passage_of, product
from evals.retrieval import ROOT
from server.kb.calibration import Measured
from server.kb.hits import Hit
from server.kb.models import KnowledgeBase

# Hits that are looked through for the gold passage, and those that an answer is made from.
_DEPTH, _TOP_K = 50, 3
_ANYTHING = 4.0
_MADE, _BY_PEOPLE = 200, 100
# Sizes to which hits are widened, in characters.
_SIZES = (0, 400, 600, 1000)
# As many characters, without widening: more hits.
_MORE = (5, 8, 12)


@dataclass(frozen=True, slots=True)
class Found:
    """A question's best worth in a knowledge base, and its gold passage's, if it was found; and the least distances."""

    question: Question
    best: float
    nearest: float
    gold: float | None
    gold_distance: float | None


async def search(running: Product, kb: KnowledgeBase, questions: Sequence[Question]) -> list[Found]:
    answers = await running.ask(kb, [question.text for question in questions], top_k=_DEPTH)
    found = []
    for question, (hits, trace) in zip(questions, answers, strict=True):
        own = {hit.chunk_id for hit in hits if passage_of(hit) == question.passage}
        gold = [one for one in trace.candidates if one.chunk_id in own]
        found.append(
            Found(
                question,
                max(one.fused for one in trace.candidates),
                min(one.score for one in trace.candidates),
                max((one.fused for one in gold), default=None),
                min((one.score for one in gold), default=None),
            )
        )
    return found


def row(name: str, floor: float, right: Sequence[Found], wrong: Sequence[Found], by: str) -> str:
    lost = np.mean([one.gold is not None and one.gold < floor for one in right])
    refused = np.mean([one.best < floor for one in wrong])
    return f"| {name} | {by} | {floor:.2f} | {len(right)} | {lost:.2%} | {len(wrong)} | {refused:.1%} |"


def best_distance(right: Sequence[Found], wrong: Sequence[Found]) -> str:
    """The best that a mere distance could do, were all questions known."""
    limit = float(np.quantile([one.gold_distance for one in right if one.gold_distance is not None], 0.99))
    return f"{np.mean([one.nearest > limit for one in wrong]):.1%}"


async def calibration(running: Product, dataset: Dataset, every: int) -> list[str]:
    tuning = half_of_articles(dataset.articles)
    asked = dataset.questions[::every]
    lines = []
    for label, chunking in (("whole", WHOLE), ("chunked", CHUNKS)):
        for is_tuning in (True, False):
            only = {n for n, article in enumerate(dataset.articles) if (article in tuning) == is_tuning}
            name = f"{label} {'tuning' if is_tuning else 'held-out'} half"
            kb = await running.upload(name, dataset, chunking, only)
            right = await search(running, kb, [question for question in asked if question.passage in only])
            wrong = await search(
                running, kb, [question for question in asked if question.passage not in only]
            )
            kept = await running.services.kb.calibrator.calibrate(CALLER, name, _MADE)
            lines.append(row(name, kept["floor"], right, wrong, "its sentences"))
            chosen = np.random.default_rng(0).permutation(len(right))[:_BY_PEOPLE]
            # What it would be by recommended questions: nobody says which passage answers them.
            floor = Measured([], [], [right[n].best for n in chosen]).floor
            rest = [one for n, one in enumerate(right) if n not in set(chosen.tolist())]
            lines.append(row(name, floor, rest, wrong, f"{_BY_PEOPLE} of its questions"))
            lines[-1] += f" (by distance, at best: {best_distance(right, wrong)})"
            print("\n".join(lines[-2:]), flush=True)
    return lines


async def reading(running: Product, dataset: Dataset, every: int) -> list[str]:
    kb = await running.upload("read", dataset, CHUNKS)
    asked = dataset.questions[::every]
    answers = await running.ask(kb, [question.text for question in asked], top_k=max(_MORE))
    lines = []

    def add(name: str, read: Sequence[Sequence[str]]) -> None:
        share = np.mean(
            [
                any(answer in "\n".join(texts) for answer in question.answers)
                for question, texts in zip(asked, read, strict=True)
            ]
        )
        size = np.mean([sum(map(len, texts)) for texts in read])
        lines.append(f"| {name} | {share:.2%} | {size:.0f} |")
        print(lines[-1], flush=True)

    for size in _SIZES:
        wide: list[list[Hit]] = [
            await running.services.kb.widening.widen(hits[:_TOP_K], {kb.id: size}) for hits, _ in answers
        ]
        add(
            f"{_TOP_K} hits, read up to {size}" if size else f"{_TOP_K} hits",
            [[hit.reading for hit in hits] for hits in wide],
        )
    for count in _MORE:
        add(f"{count} hits", [[hit.text for hit in hits[:count]] for hits, _ in answers])
    return lines


async def run(data: Path, every: int) -> str:
    cmrc = read_squad(data / "cmrc2018_dev.json")
    async with product() as running:
        floors = await calibration(running, cmrc, every)
        read = await reading(running, cmrc, every)
    head = (
        "| knowledge base | calibrated by | floor | own questions | gold lost | others' questions | without a hit |\n"
        + "| --- " * 7
        + "|"
    )
    second = "| what is read | answer read | characters |\n| --- | --- | --- |"
    return "\n".join([head, *floors]) + "\n\n" + "\n".join([second, *read])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "retrieval")
    parser.add_argument("--every", type=int, default=3, help="ask one question in so many")
    options = parser.parse_args()
    print(asyncio.run(run(options.data, options.every)))


if __name__ == "__main__":
    main()
