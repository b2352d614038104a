"""What of a passage an answer repeats: whole cells and sentences, never the signs that tables are drawn with."""

import pytest

from server.chat.quoted import quoted_ranges

TABLE = "| 年限 | 年假天数 |\n| --- | --- |\n| 满1年不满10年 | 每年享有五天带薪年假 |\n| 满二十年 | 每年享有十天带薪年假 |\n"


@pytest.mark.parametrize(
    ("answer", "quoted"),
    [
        ("每年享有五天带薪年假。", ["每年享有五天带薪年假"]),
        ("| 工龄 | 天 |\n| --- | --- |\n| 满1 个月 | 没有 |", []),
        # A row that is quoted as a whole, and the next one, which goes on otherwise.
        (
            "| 满1年不满10年 | 每年享有五天带薪年假 |\n| 满1个月 | 没有 |",
            ["满1年不满10年", "每年享有五天带薪年假"],
        ),
        (
            TABLE,
            ["年限", "年假天数", "满1年不满10年", "每年享有五天带薪年假", "满二十年", "每年享有十天带薪年假"],
        ),
    ],
)
def test_cells_of_a_table(answer: str, quoted: list[str]) -> None:
    assert [TABLE[start:end] for start, end in quoted_ranges(TABLE, answer)] == quoted


def test_lines_of_a_text_stay_together() -> None:
    text = "第一条 员工应当按时上班。\n第二条 迟到的扣除当日工资。\n"
    assert quoted_ranges(text, text) == [(0, len(text) - 1)]


def test_a_line_of_signs_is_no_quotation() -> None:
    assert (
        quoted_ranges(
            "标题\n--------------------------------\n正文", "别的\n--------------------------------\n"
        )
        == []
    )
