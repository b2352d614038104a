"""What people changed, made once more on what a new reading found."""

from typing import Any

from server.kb.edits import Earlier, carry_over, mark
from server.kb.models import Chunk, Origin
from server.kb.splitters import Passage


def _row(text: str, origin: str = Origin.FILE, original: str | None = None, **more: Any) -> Chunk:
    return Chunk(text=text, anchor={}, origin=origin, original=original, enabled=True, **more)


def _off(text: str) -> Chunk:
    row = _row(text)
    row.enabled = False
    return row


def _again(texts: str, *rows: Chunk, removed: list[str] | None = None) -> tuple[str, list[bool], Any]:
    """What there is then, what of it is searched, and what became of the changes."""
    passages = [Passage(text, {"page": n}, n // 2) for n, text in enumerate(texts.split())]
    pieces, outcome = carry_over(passages, Earlier(rows, [mark(text) for text in removed or ()]))
    return " ".join(piece.passage.text for piece in pieces), [piece.enabled for piece in pieces], outcome


def test_of_passages_that_say_the_same_the_right_one_is_changed() -> None:
    rows = _row("甲"), _row("同"), _row("乙"), _row("改", Origin.EDITED, "同"), _off("同")
    text, enabled, outcome = _again("甲 同 乙 同 同", *rows)
    assert (text, enabled) == ("甲 同 乙 改 同", [True, True, True, True, False])
    assert (outcome.kept, outcome.lost) == (2, [])


def test_what_was_deleted_stays_away_as_often_as_it_was_deleted() -> None:
    text, _, outcome = _again(
        "甲 同 乙 同 同", _row("甲"), _row("同"), _row("乙"), removed=["同", "同", "丙"]
    )
    assert text == "甲 同 乙"
    assert (outcome.kept, outcome.returned, outcome.removed) == (2, 1, [mark("同")] * 2)
    assert outcome.to_json()["lost"] == 1
    assert _again("甲", removed=["甲"])[0] == ""


def test_what_was_added_stands_behind_what_it_stood_behind() -> None:
    rows = (
        _row("零", Origin.ADDED),
        _row("甲"),
        _row("一", Origin.ADDED),
        _row("二", Origin.ADDED),
        _row("乙"),
    )
    assert _again("甲 新 乙", *rows)[0] == "零 甲 一 二 新 乙"
    assert _again("新 乙", *rows)[0] == "零 新 乙 一 二", "what it stood behind is gone: at the end"
    pieces, _ = carry_over([Passage("甲", {}, 7)], Earlier(rows))
    assert [piece.passage.parent for piece in pieces] == [None, 7, 7, 7], "part of the same large passage"


def test_an_edit_of_what_is_gone_is_lost_and_told() -> None:
    text, _, outcome = _again("丙", _row("改" * 300, Origin.EDITED, "甲"), _off("乙"))
    assert (text, outcome.to_json()) == (
        "丙",
        {"kept": 0, "lost": 2, "lost_texts": ["改" * 200, "乙"], "removed": []},
    )


def test_anchors_are_those_of_the_new_reading() -> None:
    pieces, _ = carry_over([Passage("甲", {"page": 5})], Earlier([_row("改", Origin.EDITED, "甲")]))
    assert (pieces[0].passage, pieces[0].original) == (Passage("改", {"page": 5}), "甲")
