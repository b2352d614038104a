"""How well a citation is told from a wrong one (server/chat/checking.py).

    python evals/citations.py /path/to/cmrc2018_dev.json [--limit N] [--chunked]

Each question of the set becomes a statement by putting its answer where it asks. The statement cites its own passage (right), the
passage of another place that shares most words with it and has not the answer (swapped: the hardest one there is), or its own
passage with one digit of the answer changed (number).
"""

import argparse
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from evals.datasets import chunk, read_squad
from server.chat import checking
from server.llm.terms import terms, weight

_ASKS = re.compile(
    r"(?:是)?(?:什么时候|何时|哪[一二两三]?[个些年月日天位名家种座部条所首里儿]?|什么(?:样的|地方|名字|原因)?|谁|几|多少|何[处地人种]?|怎[么样]+(?:的)?|甚麼|什麼|為何|为何|为什么)"
)
_DIGIT = re.compile(r"\d")


def statement(question: str, answer: str) -> str | None:
    """The question with its answer in it; None if it does not say where."""
    asked = question.strip().rstrip("？?。")
    found = _ASKS.search(asked)
    return f"{asked[: found.start()]}{answer}{asked[found.end() :]}。" if found else None


def with_other_digit(answer: str, lot: random.Random) -> str | None:
    places = [match.start() for match in _DIGIT.finditer(answer)]
    if not places:
        return None
    place = lot.choice(places)
    other = lot.choice([digit for digit in "123456789" if digit != answer[place]])
    return answer[:place] + other + answer[place + 1 :]


class Rivals:
    """The texts that share most words with a statement."""

    def __init__(self, texts: list[str]) -> None:
        self._postings: dict[str, list[int]] = defaultdict(list)
        for index, text in enumerate(texts):
            for term in set(terms(checking.spell(text))):
                self._postings[term].append(index)

    def rank(self, said: str) -> Iterator[int]:
        shares: Counter[int] = Counter()
        for term in set(terms(checking.spell(said))):
            for index in self._postings.get(term, ()):
                shares[index] += weight(term)  # type: ignore[assignment]
        return (index for index, _ in shares.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--chunked", action="store_true", help="cut passages as users do (250/50)")
    given = parser.parse_args()

    dataset = read_squad(given.data)
    texts, origins = (
        chunk(dataset.passages) if given.chunked else (dataset.passages, list(range(len(dataset.passages))))
    )
    rivals, lot = Rivals(texts), random.Random(0)  # noqa: S311 - reproducible
    verified: Counter[str] = Counter()
    tried: Counter[str] = Counter()

    def verify(kind: str, said: str, text: str, question: str) -> None:
        _, checks = checking.judge(f"{said}[1]", {1: text}, question)
        tried[kind] += 1
        verified[kind] += bool(checks) and all(check.verified for check in checks)

    for asked in dataset.questions[: given.limit]:
        answer = asked.answers[0]
        said = statement(asked.text, answer)
        own = [index for index, origin in enumerate(origins) if origin == asked.passage]
        there = [index for index in own if answer in texts[index]]
        if said is None or not there:
            continue
        best = max(there, key=lambda index: sum(part in texts[index] for part in terms(said)))
        verify("right", said, texts[best], asked.text)
        ranked = (index for index in rivals.rank(said) if index not in own and answer not in texts[index])
        other = next(ranked, None)
        if other is not None:
            verify("swapped", said, texts[other], asked.text)
        changed = with_other_digit(answer, lot)
        if changed is not None and changed not in texts[best]:
            verify("number", statement(asked.text, changed) or "", texts[best], asked.text)

    for kind in ("right", "swapped", "number"):
        share = verified[kind] / tried[kind] if tried[kind] else 0.0
        print(f"{kind:8} verified {verified[kind]:5} of {tried[kind]:5}  {share:.1%}")


if __name__ == "__main__":
    main()
