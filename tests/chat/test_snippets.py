"""What is shown of a conversation in which words were found."""

import re

import pytest

from server.chat.snippets import LENGTH, snippet


@pytest.mark.parametrize(
    ("words", "texts", "expected"),
    [
        ("年假", ("年假",), "年假"),
        ("年假", ("没有", "这里有年假。"), "这里有年假。"),
        ("年假", ("没有", "也没有"), None),
        ("leave", ("Annual  LEAVE\n\npolicy",), "Annual LEAVE policy"),
        ("十天", ("# 标题\n\n- **共** `十天`，见 [手册](http://x)",), "标题 共 十天，见 手册"),
        ("cell", ("| a | cell |\n|---|---|",), "a cell"),
        ("max_tokens", ("set max_tokens to snake_case",), "set max_tokens to snake_case"),
        ("**", ("粗 **体** 字",), "粗 **体 字"),
    ],
)
def test_what_stands_around_the_words(words: str, texts: tuple[str, ...], expected: str | None) -> None:
    assert snippet(words, texts) == expected


@pytest.mark.parametrize("before", [0, 1, 10, 79, 80, 81, 500])
@pytest.mark.parametrize("after", [0, 1, 10, 79, 80, 81, 500])
@pytest.mark.parametrize("hit", ["x", "x" * 76, "x" * 100], ids=len)
def test_it_is_one_short_line_that_says_where_it_was_cut(before: int, after: int, hit: str) -> None:
    text = "前" * before + hit + "后" * after
    found = snippet(hit, (text,))
    assert found is not None
    assert len(found) <= LENGTH
    if len(text) <= LENGTH:
        assert found == text
    else:
        assert "…" in found
        assert len(found) == LENGTH, "no room is wasted"
    if len(hit) < LENGTH - 3:
        assert hit in found
    assert re.fullmatch("…?前*x+后*…?", found)
