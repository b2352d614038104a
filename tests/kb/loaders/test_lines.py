"""Lines that a page's margin broke are joined; lines that their writer ended are not."""

import pytest

from server.kb.loaders.lines import join_wrapped

WRAPPED = "员工每年享有带薪年休假，累计工作满一年不满十年的五天，满十年不满\n二十年的十天，满二十年的十五天。\n病假另计。"


def test_a_paragraph_is_put_together() -> None:
    assert join_wrapped(WRAPPED) == WRAPPED.replace("不满\n二十", "不满二十")


def test_english_gets_its_space_back() -> None:
    text = "Every employee is entitled to annual leave of\nfive days after one year of service with the firm.\nSick leave is separate."
    assert join_wrapped(text).splitlines() == [
        "Every employee is entitled to annual leave of five days after one year of service with the firm.",
        "Sick leave is separate.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "第一章 总则\n员工每年享有带薪年休假，累计工作满一年不满十年的五天。",
        "每个员工都要遵守本制度的各项规定并且互相提醒\n1. 按时上班，不迟到，不早退，有事提前请假说明",
        "每个员工都要遵守本制度的各项规定并且互相提醒\n• 按时上班，不迟到，不早退，有事提前请假说明",
        "每个员工都要遵守本制度的各项规定并且互相提醒\n第二条 按时上班，不迟到，不早退，有事提前请假",
        "员工每年享有带薪年休假五天，工作满十年的十天。\n员工每年享有带薪年休假五天，工作满十年的十天。",
        "一类城市 四百五十元每晚 三百五十元每晚\n二类城市 三百五十元每晚 二百八十元每晚",
        "员工每年享有带薪年休假，累计工作满一年不满十年\n\n的五天。",
        "",
        "一行",
    ],
)
def test_what_ends_stays_ended(text: str) -> None:
    assert join_wrapped(text) == text
