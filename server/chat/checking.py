"""Is what an answer says in the passages that it cites? Told sentence by sentence, before a citation is shown as verified.

A sentence is borne out by a passage that has most of its words, weighted by how much they tell, and all of its numbers, dates
and names. That is far from understanding: it finds the citation of another passage and the changed number, which is what models
do wrong most (attribution as in Rashkin et al., Measuring Attribution in Natural Language Generation Models, CL 2023; here by
words alone). `evals/citations.py` measures it.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from typing import Any, Literal

from server.chat.claims import MARK, claims
from server.core.chinese import fold
from server.llm.terms import normalise, terms, weight

Outcome = Literal["answered", "partly", "not_found"]
Reason = Literal["overlap", "number", "name", "language"]

# A passage bears a sentence out that has this share of the weight of its terms: see evals/citations.py.
ENOUGH = 0.5
# An answer is the knowledge base's if so much of what it says is borne out.
_ANSWERED = 0.7
# Says too little to be judged without a citation (weight of its terms).
_SLIGHT = 6.0
# What templates of chat2llm have models say.
_OLD_REFUSALS = ("根据已知信息无法回答该问题", "根据已知资料无法回答该问题", "没有提供足够的相关信息")
# A refusal stands within so many characters.
_BEGINNING = 60
# Of an answer and of a passage, so many characters are looked at.
_MAX = 50_000

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
# Codes, names and abbreviations of Latin letters: with a capital inside the sentence, or with digits.
_NAME = re.compile(r"[A-Za-z]+(?:[-_/.]?[A-Za-z0-9]+)*")
_QUOTED = re.compile(r"《([^《》]{2,40})》|“([^“”]{2,40})”|「([^「」]{2,40})」")
_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True, slots=True)
class Check:
    """What became of a sentence that cites. `reason`: what is not in the passages that it cites: enough of its words, a
    number, a name; or they are in another language, and nothing can be told."""

    start: int
    end: int
    numbers: tuple[int, ...]
    verified: bool
    reason: Reason | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"numbers": list(self.numbers)}


@dataclass(frozen=True, slots=True)
class Passage:
    """A source as it is compared: in one spelling, its terms, its numbers, and its script."""

    text: str
    vocabulary: Set[str]
    numbers: Set[str]
    script: str

    @classmethod
    def of(cls, text: str) -> "Passage":
        spelt = spell(text[:_MAX])
        return cls(spelt, frozenset(terms(spelt)), _numbers(spelt), _script(spelt))


@dataclass(frozen=True, slots=True)
class _Said:
    """A sentence as it is compared."""

    terms: Set[str]
    numbers: Set[str]
    names: Sequence[str]
    script: str

    @classmethod
    def of(cls, content: str) -> "_Said":
        spelt = spell(content)
        return cls(frozenset(terms(spelt)), _numbers(spelt), _names(content), _script(spelt))

    @property
    def weight(self) -> float:
        return sum(weight(term) for term in self.terms)


def judge(
    text: str, passages: Mapping[int, str], question: str, refusals: Sequence[str] = ()
) -> tuple[Outcome, list[Check]]:
    """How far an answer is borne out by `passages` (number → text), and every sentence of it that cites one.

    What the question says needs no passage. `refusals`: how a model says that the passages have no answer. Takes time with the
    length of the texts: call it from a lane.
    """
    is_refusal = _has_refusal(text, refusals)
    if is_refusal and not MARK.search(text):
        return "not_found", []
    known = {number: Passage.of(passage) for number, passage in passages.items()}
    asked = Passage.of(question)
    checks: list[Check] = []
    slight: list[str] = []
    said = borne_out = 0.0
    is_invented = False
    found = claims(text[:_MAX])
    for claim in found:
        sentence = _Said.of(claim.content)
        numbers = tuple(number for number in claim.numbers if number in known)
        if numbers:
            reason = _missing(sentence, [known[number] for number in numbers], asked)
            checks.append(Check(claim.start, claim.end, numbers, reason is None, reason))
        elif claim.leads_in:
            continue
        elif sentence.weight < _SLIGHT and not claim.numbers:
            slight.append(claim.content)
            continue
        else:
            reason = _missing_in_each(sentence, list(known.values()), asked)
            # It cites what there is not.
            is_invented |= bool(claim.numbers) and reason not in (None, "language")
        if reason != "language":
            said += sentence.weight
            borne_out += sentence.weight * (reason is None)
    if slight and not said and not checks:  # a short answer is one statement
        sentence = _Said.of(" ".join(slight))
        said = sentence.weight
        borne_out = said * (_missing_in_each(sentence, list(known.values()), asked) in (None, "language"))
    is_silent = not found or (bool(slight) and not said)
    is_whole = not (is_refusal or is_invented or is_silent) and all(
        check.verified or check.reason == "language" for check in checks
    )
    return ("answered" if is_whole and borne_out >= _ANSWERED * said else "partly"), checks


def _has_refusal(text: str, refusals: Sequence[str]) -> bool:
    """Does it begin by saying that there is no answer? However it is spelt, and whatever stands around."""
    told = _letters(text[: _BEGINNING + max((len(refusal) for refusal in refusals), default=0)])
    return any(_letters(refusal) in told for refusal in (*refusals, *_OLD_REFUSALS))


def _letters(text: str) -> str:
    return "".join(char for char in spell(text) if char.isalnum())


def _missing_in_each(sentence: _Said, passages: Sequence[Passage], asked: Passage) -> Reason | None:
    """What no single passage has, for a sentence that cites none."""
    reasons = [_missing(sentence, [passage], asked) for passage in passages]
    return None if None in reasons else "language" if "language" in reasons else "overlap"


def _missing(sentence: _Said, cited: Sequence[Passage], asked: Passage) -> Reason | None:
    """What the passages lack altogether; None if they have it all."""
    known = [*cited, asked]
    if any(all(number not in passage.numbers for passage in known) for number in sentence.numbers):
        return "number"
    if any(all(name not in passage.text for passage in known) for name in sentence.names):
        return "name"
    if all(passage.script != sentence.script for passage in cited):
        return "language"
    found = [term for term in sentence.terms if any(term in passage.vocabulary for passage in cited)]
    return None if sum(weight(term) for term in found) >= ENOUGH * sentence.weight else "overlap"


def _numbers(spelt: str) -> set[str]:
    """`1,000` and `1000.0` are one number."""
    found = set()
    for written in _NUMBER.findall(spelt):
        plain = written.replace(",", "")
        found.add(
            plain.rstrip("0").rstrip(".") if re.fullmatch(r"\d+\.\d+", plain) else plain.lstrip("0") or "0"
        )
    return found


def _names(content: str) -> list[str]:
    """Codes and names that must be there as they are, spelt alike."""
    text = unicodedata.normalize("NFKC", content)
    found = [part for groups in _QUOTED.findall(text) for part in groups if part]
    for match in _NAME.finditer(text):
        word = match.group()
        is_name = any(char.isdigit() for char in word) or any(char.isupper() for char in word[1:])
        # The first word of a sentence has its capital for that.
        if is_name or (word[0].isupper() and match.start() > 0 and len(word) > 1):
            found.append(word)
    return [spell(name) for name in found]


def _script(spelt: str) -> str:
    han, latin = len(_HAN.findall(spelt)), len(_LATIN.findall(spelt))
    return "han" if han >= latin else "latin"


def spell(text: str) -> str:
    """The spelling that sentences and passages are compared by."""
    return normalise(fold(text))
