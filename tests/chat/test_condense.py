"""Follow-ups: what is missing is carried over, what is whole stays."""

import pytest

from server.chat.condense import condense_by_rule


@pytest.mark.parametrize(
    ("earlier", "question", "condensed"),
    [
        (["年假有几天？"], "病假呢？", "病假有几天？"),
        (["TH01的量程是多少？"], "TH02呢", "TH02的量程是多少？"),
        (["TH01的量程是多少？"], "精度呢？", "TH01的精度是多少？"),
        (["年假有几天？"], "怎么申请？", "年假怎么申请？"),
        (["年假有几天？"], "它可以分几次休？", "年假可以分几次休？"),
        (["张三的电话是多少？"], "他的邮箱是什么？", "张三的邮箱是什么？"),
        (["年假有几天？", "病假呢？"], "那怎么申请？", "病假怎么申请？"),
        (["浙江省的省会是哪里？"], "江苏省呢？", "江苏省的省会是哪里？"),
        (["浙江省的省会是哪里？"], "其人口是多少？", "浙江省的人口是多少？"),
        (["工作十二年的员工年假有几天？"], "二十五年呢？", "工作二十五年的员工年假有几天？"),
        (["工作满3年有几天年假？"], "10年呢", "工作满10年有几天年假？"),
        (["出差住宿标准是多少？"], "三天呢？", "三天 出差住宿标准是多少？"),
        (["出差住宿标准是多少？"], "上海呢？", "上海 出差住宿标准是多少？"),
        (["What is TH01?"], "How much does it cost?", "How much does TH01 cost?"),
    ],
)
def test_what_is_missing_is_carried_over(earlier: list[str], question: str, condensed: str) -> None:
    assert condense_by_rule(question, earlier) == condensed


@pytest.mark.parametrize("page", ["a " * 400_000, "a-" * 4000, "年假" * 100_000])
def test_a_page_that_was_pasted_is_carried_over_by_its_beginning(page: str) -> None:
    for question in ("那它呢？", "A1呢？", "病假呢？"):
        assert len(condense_by_rule(question, [page] * 5)) < 3000


@pytest.mark.parametrize(
    "question",
    [
        "食堂在哪里？",
        "公司的地址在哪里？",
        "其他假期有哪些？",
        "出差住宿标准是多少？",
        "TH02的量程是多少？",
        "",
        "？",
    ],
)
def test_what_is_whole_stays(question: str) -> None:
    assert condense_by_rule(question, ["年假有几天？"]) == question


def test_without_a_history_nothing_changes() -> None:
    assert condense_by_rule("它有几天？", []) == "它有几天？"
