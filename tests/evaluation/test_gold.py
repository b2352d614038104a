"""Is this what should be found, and is that what should be said?"""

import pytest

from server.core.errors import Invalid
from server.evaluation import sheet
from server.evaluation.gold import Asked, cited_numbers, is_same_passage, squeezed
from server.evaluation.models import GoldQuestion
from server.evaluation.question import NewQuestion
from server.kb.csv_table import guarded, unguarded

LONG = (
    "员工累计工作已满一年不满十年的，年休假五天；已满十年不满二十年的，年休假十天；已满二十年的，年休假十五天。"
    "国家法定休假日、休息日不计入年休假的假期。单位根据生产、工作的具体情况，并考虑职工本人意愿，统筹安排职工年休假。"
)


class Hit:
    def __init__(self, file_name: str, text: str = "") -> None:
        self.file_name, self.text = file_name, text


@pytest.mark.parametrize(
    ("asked", "hits", "ranks"),
    [
        (Asked("?", gold_files=("a.txt",)), [Hit("b.txt"), Hit("a.txt"), Hit("a.txt")], [2]),
        (Asked("?", gold_files=("A.TXT",)), [Hit("a.txt")], [1]),
        (Asked("?", gold_files=("a", "b", "c")), [Hit("b"), Hit("b"), Hit("a")], [3, 1, None]),
        (Asked("?", gold_passage="年休假五天"), [Hit("a", "病假三天"), Hit("b", "他有年 休假五天。")], [2]),
        # The same words in another file are not the gold ones when the file is named.
        (
            Asked("?", gold_passage="年休假五天", gold_files=("a", "b")),
            [Hit("c", "年休假五天"), Hit("b", "年休假五天")],
            [2],
        ),
        (Asked("?", gold_passage="年休假五天"), [Hit("a", "年休假十天")], [None]),
        (Asked("?", gold_answer="五天"), [Hit("a", "五天")], []),
        (Asked("?", answerable=False), [Hit("a", "五天")], []),
        (Asked("?", gold_files=("a",)), [], [None]),
    ],
)
def test_ranks(asked: Asked, hits: list[Hit], ranks: list[int | None]) -> None:
    assert asked.ranks(hits) == ranks


@pytest.mark.parametrize("size", [30, 60, 250])
@pytest.mark.parametrize("overlap", [0, 10])
def test_a_passage_is_known_again_however_it_is_cut(size: int, overlap: int) -> None:
    before = "第一章 总则：为了规范考勤管理，维护劳动者的合法权益，制定本制度。" * 3
    after = "第三章 报销：出差返回后十五个工作日内提交报销单，逾期不予受理，由本人承担。" * 3
    text = before + LONG + after
    chunks = [text[start : start + size] for start in range(0, len(text), size - overlap)]
    same = [is_same_passage(squeezed(LONG), squeezed(chunk)) for chunk in chunks]
    assert any(same)
    inside = range(len(before), len(before) + len(LONG))
    for number, is_same in enumerate(same):
        start = number * (size - overlap)
        shared = len(set(inside) & set(range(start, start + size)))
        assert not is_same or shared >= 15, chunks[number]


def test_another_passage_is_not_it() -> None:
    other = "员工请病假的，应当提交医院证明；病假工资按基本工资的百分之七十发放，每年累计不超过三个月。"
    assert not is_same_passage(squeezed(LONG), squeezed(other))
    assert not is_same_passage(squeezed(LONG), "")
    assert not is_same_passage("", "x")


@pytest.mark.parametrize(
    ("gold", "answer", "is_in"),
    [
        ("五天", "年假五 天。[1]", True),
        ("5天", "年假 ５ 天", True),
        ("5天", "年假15天", False),
        ("5", "3.5", False),
        ("5", "每年5.", True),
        ("450", "| 450 | 550 |", True),
        ("1000元", "1,000 元", True),
        ("10:30", "10:30到岗", True),
        ("cat", "concatenate", False),
        ("annual leave", "the Annual\nLeave is", True),
        ("十天||10天", "10天", True),
        ("十天||10天", "二十五日", False),
        ("1", "五天 [1]", False),
        ("，", "，", False),
    ],
)
def test_an_answer_says_it(gold: str, answer: str, is_in: bool) -> None:
    assert Asked("?", gold_answer=gold).is_in(answer) is is_in


def test_citations() -> None:
    assert cited_numbers("甲[2]乙[1]丙[2]，丁[9]，戊[a]", 3) == [2, 1, 0]
    assert cited_numbers("没有", 3) == []


def test_what_is_said_of_a_question() -> None:
    new = NewQuestion(" 几天？ ", gold_answer=" ", gold_files=("a", "a"), tags=("x", "x")).checked()
    assert (new.question, new.gold_answer, new.gold_files, new.tags, new.answerable) == (
        "几天？",
        None,
        ("a",),
        ("x",),
        True,
    )
    assert NewQuestion("几天？").checked().answerable is None
    assert NewQuestion("几天？", answerable=False).checked().answerable is False
    for wrong in (
        {"question": " "},
        {"question": "x" * 1001},
        {"question": "\0"},
        {"gold_passage": "，。"},
        {"gold_passage": "x" * 8001},
        {"gold_files": ("x",) * 21},
        {"tags": ("x" * 33,)},
        {"answerable": False, "gold_answer": "五天"},
    ):
        with pytest.raises(Invalid):
            NewQuestion(**{"question": "几天？"} | wrong).checked()


@pytest.mark.parametrize(
    "cell", ["=1+1", "+86", "-3", "@x", "\tx", "'=1", "''x", "x", "", " =1", "'", "五天"]
)
def test_no_cell_is_a_formula(cell: str) -> None:
    assert not guarded(cell).lstrip().startswith(("=", "+", "-", "@", "\t"))
    assert unguarded(guarded(cell)) == cell


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gbk"])
def test_a_set_comes_back_as_it_went(encoding: str) -> None:
    given = [
        NewQuestion(
            "=cmd|' /c calc'!A0", "五天||5天", ("a,b.txt", "丙.pdf"), '他说："五天"\n换行', None, ("假", "x")
        ),
        NewQuestion("食堂？", answerable=False),
        NewQuestion("没有人说过"),
    ]
    rows = [GoldQuestion(**one.checked().columns()) for one in given]
    data = sheet.write(rows).decode("utf-8-sig").encode(encoding)
    assert b"\n=" not in data
    good, failed = sheet.read(data)
    assert not failed
    assert good == [(number, one.checked()) for number, one in enumerate(given, start=2)]


def test_chinese_columns_and_bad_rows() -> None:
    text = "问题,可回答,标签,别的\n一,是,a；b,x\n二,也许,,\n,是,,\n三,否,,\n"
    good, failed = sheet.read(text.encode())
    assert [(number, one.answerable, one.tags) for number, one in good] == [
        (2, True, ("a", "b")),
        (5, False, ()),
    ]
    assert {number: error.text.zh[:4] for number, error in failed.items()} == {3: "“可回答", 4: "缺少问题"}
