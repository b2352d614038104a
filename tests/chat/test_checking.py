"""Sentences of answers and the passages that they cite: what is borne out and what is not."""

import pytest

from server.chat.checking import judge
from server.chat.claims import claims

LEAVE = (
    "年假：工作满1年不满10年的员工，每年有5天年假；满10年不满20年的有10天。病假需要医院证明，由部门经理批准。"
)
TRAVEL = "差旅：高铁二等座可以报销，住宿标准为每晚450元，一线城市每晚600元。发票须在30天内提交到TH-01系统。"
BOTH = {1: LEAVE, 2: TRAVEL}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("年假有5天[1]。", [("年假有5天[1]。", (1,), "年假有5天。")]),
        ("年假有5天。[1]病假要证明。[1][2]", [("年假有5天。[1]", (1,), "年假有5天。"), ("病假要证明。[1][2]", (1, 2), "病假要证明。")]),
        ("甲说。乙说 [2] 。", [("甲说。", (), "甲说。"), ("乙说 [2] 。", (2,), "乙说 。")]),
        ("# 标题[1]\n\n- **要点**：有五天[1]\n", [("**要点**：有五天[1]", (1,), "要点：有五天")]),
        ("```\n代码[1]。\n```\n话[1]", [("话[1]", (1,), "话")]),
        ("Rates rise 3.5 % a year. [1] See Fig.\n", [("Rates rise 3.5 % a year. [1]", (1,), "Rates rise 3.5 % a year."),
                                                     ("See Fig.", (), "See Fig.")]),
        ("| 城市 | 标准 |\n| --- | --- |\n| 北京 | 600 |\n\n[2]\n",
         [("| 城市 | 标准 |", (2,), "城市 标准"), ("| 北京 | 600 |", (2,), "北京 600")]),
        ("第一段。\n\n第二段。\n[1]", [("第一段。", (), "第一段。"), ("第二段。", (1,), "第二段。")]),
        ("见[官网](https://a.example)[1]", [("见[官网](https://a.example)[1]", (1,), "见官网")]),
        ("[1]\n\n---\n\n。", []),
    ],
)  # fmt: skip
def test_an_answer_is_cut_into_sentences_with_what_they_cite(
    text: str, said: list[tuple[str, tuple[int, ...], str]]
) -> None:
    found = claims(text)
    assert [(text[one.start : one.end], one.numbers, one.content) for one in found] == said


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("工作满10年的员工每年有10天年假[1]。", None),
        ("员工工作滿10年不滿20年，每年有10天年假[1]。", None),
        ("满十年不满二十年的员工有十天年假[1]。", None),
        ("每年有15天年假[1]。", "number"),
        ("住宿标准为每晚450元[1]。", "number"),
        ("高铁二等座可以报销[1]。", "overlap"),
        ("住宿标准为每晚450元[2]，发票要在30天内提交到th-01系统[2]。", None),
        ("发票须提交到TH-02系统[2]。", "number"),
        ("发票须提交到SAP系统[2]。", "name"),
        ("依据《差旅办法》，高铁二等座可以报销[2]。", "name"),
        ("病假需要医院证明，住宿标准为每晚450元[1][2]。", None),
        ("Sick leave needs a certificate[1].", "language"),
    ],
)
def test_a_citation_is_checked(text: str, reason: str | None) -> None:
    _, (*_, check) = judge(text, BOTH, "？")
    assert (check.verified, check.reason) == (reason is None, reason)


def test_what_was_asked_needs_no_source() -> None:
    said = "在SAP工作12年的员工每年有10天年假[1]。"
    assert judge(said, BOTH, "年假几天？")[1][0].reason == "number"
    assert judge(said, BOTH, "我在SAP工作12年，年假几天？")[1][0].reason is None


def test_marks_without_a_source_are_no_citations() -> None:
    outcome, checks = judge("每年有5天年假[7]。", BOTH, "年假？")
    assert (outcome, checks) == ("answered", [])


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("工作满10年不满20年的员工每年有10天年假[1]。", "answered"),
        ("工作满10年不满20年的员工每年有10天年假。", "answered"),
        ("工作满10年不满20年的员工每年有11天年假[1]。", "partly"),
        ("病假需要医院证明[1]。另外，公司食堂周三供应红烧牛肉面和时令水果拼盘。", "partly"),
        ("公司食堂周三供应红烧牛肉面和时令水果拼盘。", "partly"),
        ("知识库里没有找到能回答这个问题的内容。", "not_found"),
        ("抱歉，知识库里没有找到能回答这个问题的内容！", "not_found"),
        ("根据已知信息无法回答该问题", "not_found"),
        ("知识库里没有找到能回答这个问题的内容。但病假需要医院证明[1]。", "partly"),
        ("以下是规定：\n\n1. 病假需要医院证明，由部门经理批准[1]\n", "answered"),
        ("每年有5天年假[1]。公司食堂供应红烧牛肉面[9]。", "partly"),
        ("5天。", "answered"),
        ("五天。", "answered"),
        ("8天。", "partly"),
        ("食堂。", "partly"),
        ("请问您工作了几年？", "answered"),
        ("****", "partly"),
    ],
)
def test_how_far_an_answer_is_the_knowledge_bases(text: str, outcome: str) -> None:
    assert judge(text, BOTH, "？", ("知识库里没有找到能回答这个问题的内容。",))[0] == outcome


def test_places_count_characters() -> None:
    text = "好的😀。病假需要医院证明[1]。"
    ((check,)) = judge(text, BOTH, "？")[1]
    assert text[check.start : check.end] == "病假需要医院证明[1]。"


def test_a_long_answer_takes_no_longer_than_its_length() -> None:
    """Nothing in here is quadratic: two hundred thousand characters of marks and of one sentence."""
    for text in ("[1]" * 60_000, "年" * 200_000, "a" * 200_000, "。" * 200_000, "|" * 200_000, "[" * 200_000):
        judge(text, dict.fromkeys(range(1, 21), LEAVE * 100), "？" * 8000)
