"""A conversation as a strict provider wants it."""

import random
import time

import pytest

from server.chat.history import Given, estimate_tokens, fit, plain_text, to_rounds


def _is_strict(messages) -> bool:
    return [message.role for message in messages] == ["user", "assistant"] * (len(messages) // 2) and all(
        message.content.strip() for message in messages
    )


def test_rounds_are_paired() -> None:
    given: list[Given] = [("user", "一"), ("assistant", "1"), ("user", "二"), ("assistant", "2")]
    assert to_rounds(given, 10) == [("一", "1"), ("二", "2")]


@pytest.mark.parametrize(
    ("given", "rounds"),
    [
        ([("assistant", "早"), ("user", "一"), ("assistant", "1")], [("一", "1")]),
        ([("user", "一"), ("user", "二"), ("assistant", "2")], [("二", "2")]),
        ([("user", "一"), ("assistant", "1"), ("user", "二")], [("一", "1")]),
        ([("user", "一"), ("assistant", "1"), ("assistant", "补充")], [("一", "1\n补充")]),
        ([("user", "一"), ("assistant", "")], []),
        ([("user", " "), ("assistant", "1")], []),
        ([("user", "一"), ("assistant", "  "), ("user", "二"), ("assistant", "2")], [("二", "2")]),
        ([], []),
    ],
)
def test_what_pages_send_is_put_right(given: list[Given], rounds: list[tuple[str, str]]) -> None:
    assert to_rounds(given, 10) == rounds


def test_any_history_of_any_length_is_strict() -> None:
    source = random.Random(0)
    for length in range(101):
        given: list[Given] = [
            (source.choice(["user", "assistant"]), source.choice(["", " ", "文字", "<p>段落</p>"]))
            for _ in range(length)
        ]
        for limit in (0, 1, 5, 50):
            messages = fit(to_rounds(given, limit), 10_000)
            assert _is_strict(messages)
            assert len(messages) <= 2 * limit


def test_the_newest_rounds_stay_within_limit_and_budget() -> None:
    given: list[Given] = [turn for n in range(50) for turn in (("user", f"问{n}"), ("assistant", "答" * 100))]
    assert [question for question, _ in to_rounds(given, 2)] == ["问48", "问49"]
    assert to_rounds(given, 0) == []
    rounds = to_rounds(given, 50)
    assert [question for question, _ in rounds] == [f"问{n}" for n in range(50)]
    messages = fit(rounds, 500)
    assert messages[-2].content == "问49"
    assert sum(estimate_tokens(message.content) for message in messages) <= 500
    assert len(messages) == 8
    assert fit(rounds, 10) == []
    assert fit(rounds, -5) == []


@pytest.mark.parametrize(
    "unit",
    ["<!--", "<![", "<", "<a", "<a ", "</", "<p ", "<!-->", "&", "&#", "&#9", "&a", "\n\n<", "<b>", "&lt;"],
)
def test_a_page_cannot_keep_the_server_busy(unit: str) -> None:
    """Twice as long takes about twice as long; HTMLParser took four times, and half a minute for this."""
    started = time.process_time()
    plain_text("<a>" + unit * (1_600_000 // len(unit)))
    assert time.process_time() - started < 10


def test_rounds_that_are_not_used_are_not_read() -> None:
    rich = "<p>" + "<b>字</b>" * 100_000
    given: list[Given] = [("user", "旧"), ("assistant", rich)]
    given = [*given * 100, ("user", "新"), ("assistant", "<p>答")]
    started = time.process_time()
    assert to_rounds(given, 1) == [("新", "答")]
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>年假<b>五</b>天</p><p>病假三天</p>", "年假五天\n病假三天"),
        ("<ul><li>一</li><li>二</li></ul>", "一\n二"),
        ("<pre><code>a &lt; b</code></pre>", "a < b"),
        ("第一行<br>第二行", "第一行\n第二行"),
        ("没有标签 a < b 且 c > d", "没有标签 a < b 且 c > d"),
        ("  两边的空格  ", "两边的空格"),
        ("<script>x</script>", "x"),
        ("<p>没有关", "没有关"),
        ("<p>前<!-- 注释 <b> -->后<!-- 一 <!-- 二 -->！", "前后！"),
        ("<p>前<!-- 没有结束", "前"),
        ("<P CLASS='a'>大写<BR/>换行", "大写\n换行"),
        ("<p>&#20013;&#x6587;&nbsp;&amp;lt;", "中文\xa0&lt;"),
        (f"<p>&#{'9' * 5000};", f"&#{'9' * 5000};"),
        ("<p>&#0;&#xd800;", "\ufffd\ufffd"),
        ("<a><![", "<!["),
    ],
)
def test_rendered_answers_become_plain_text(html: str, text: str) -> None:
    assert plain_text(html) == text


def test_what_a_user_writes_is_left_alone() -> None:
    assert to_rounds([("user", "怎么写 <div>？"), ("assistant", "<p>这样</p>")], 10) == [
        ("怎么写 <div>？", "这样")
    ]


def test_tokens_are_rather_over_than_underestimated() -> None:
    assert estimate_tokens("年假五天") >= 4
    assert estimate_tokens("internationalisation") >= 5
