"""What a long command did: counted while it goes on, told at its end."""

import sys
from collections import Counter

# Reasons of one kind that are listed; the rest are counted.
_SHOWN = 20
# Of what was refused; an old database may have anything for a name.
_LONGEST_NAME = 200


class Report:
    """By subject (`documents`, `users` …): what was done, and what was not and why."""

    def __init__(self) -> None:
        self.done: Counter[tuple[str, str]] = Counter()
        self.refused: dict[str, list[str]] = {}
        self.notes: list[str] = []

    def count(self, subject: str, outcome: str, number: int = 1) -> None:
        """`outcome`: taken, there already, deleted … With 0 it is told that there was nothing of a subject."""
        self.done[subject, outcome] += number

    def refuse(self, subject: str, what: str, why: str) -> None:
        what = what if len(what) <= _LONGEST_NAME else f"{what[:_LONGEST_NAME]}…"
        self.refused.setdefault(subject, []).append(f"{what}: {why}")

    def note(self, text: str) -> None:
        """Once, however often it is said."""
        text = text.encode("utf-8", "backslashreplace").decode()  # names on disk may be of any bytes
        if text not in self.notes:
            self.notes.append(text)

    @property
    def is_clean(self) -> bool:
        return not self.refused

    def show(self) -> None:
        busy = {subject for (subject, _), number in self.done.items() if number} | set(self.refused)
        for (subject, outcome), number in self.done.items():
            if number or subject not in busy:
                print(f"{subject}: {number} {outcome}")
        for subject, reasons in self.refused.items():
            print(f"{subject}: {len(reasons)} NOT taken", file=sys.stderr)
            for reason in reasons[:_SHOWN]:
                print(f"  - {reason}", file=sys.stderr)
            if len(reasons) > _SHOWN:
                print(f"  … and {len(reasons) - _SHOWN} more", file=sys.stderr)
        for text in self.notes:
            print(text)
