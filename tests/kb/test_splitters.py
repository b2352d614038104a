"""Passages: within the size, cut at ends of sentences, in order, each with its place."""

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document

from server.kb.splitters import Chunking, Passage, is_title, split

TEXT = (
    "第一条规定了年假。员工工作满一年的，可以休假五天；满十年的，十天！\n第二条规定了病假。病假需要证明吗？需要。"
    * 20
)


def _split(*documents: Document | str, size: int = 100, overlap: int = 20, **options: bool) -> list[Passage]:
    made = [document if isinstance(document, Document) else Document(document) for document in documents]
    return list(split(made, Chunking(size, overlap, options.get("zh_title_enhance", False))))


@pytest.mark.parametrize(("size", "overlap"), [(50, 0), (100, 20), (250, 50), (800, 200)])
def test_size_and_overlap_are_honoured_in_characters(size: int, overlap: int) -> None:
    passages = _split(TEXT, size=size, overlap=overlap)
    assert all(len(passage.text) <= size for passage in passages)
    assert sum(len(passage.text) for passage in passages) > len(TEXT) * 0.9
    assert max(len(passage.text) for passage in passages) > size * 0.5, "passages are filled, not crumbs"
    if overlap:
        shared = [
            max(n for n in range(overlap + 1) if a.text.endswith(b.text[:n]))
            for a, b in itertools.pairwise(passages)
        ]
        assert max(shared) > 0
        assert all(n <= overlap for n in shared)


def test_cuts_fall_at_the_ends_of_sentences() -> None:
    for passage in _split(TEXT, size=60, overlap=0):
        assert passage.text[-1] in "。！？；，"


def test_english_is_cut_at_sentences_too() -> None:
    text = (
        "The first rule is about leave. It takes five days! Is that enough? Yes, version 3.5 says so. " * 10
    )
    for passage in _split(text, size=120, overlap=0):
        assert passage.text[-1] in ".!?"


@settings(max_examples=50)
@given(st.text(alphabet="年假。，\n a.!?；1", max_size=400), st.integers(20, 80))
def test_nothing_is_lost_invented_or_out_of_order(text: str, size: int) -> None:
    passages = _split(text, size=size, overlap=0)
    assert "".join("".join(p.text.split()) for p in passages) == "".join(text.split())
    assert all(0 < len(p.text) <= size for p in passages)


def test_pages_are_joined_inside_a_sentence_and_keep_their_numbers() -> None:
    first = Document("年休假的天数按照", metadata={"page": 1})
    second = Document("工龄计算。" + "其他规定。" * 30, metadata={"page": 2})
    passages = _split(first, second, size=60, overlap=0)
    assert passages[0].text.startswith("年休假的天数按照工龄计算。")
    assert passages[0].anchor == {"page": 1, "page_end": 2}
    assert {passage.anchor["page"] for passage in passages[1:]} == {2}


def test_pages_that_end_with_a_sentence_stay_apart() -> None:
    passages = _split(
        Document("年假五天。", metadata={"page": 1}), Document("病假三天。", metadata={"page": 2})
    )
    assert [(passage.text, passage.anchor) for passage in passages] == [
        ("年假五天。", {"page": 1}),
        ("病假三天。", {"page": 2}),
    ]


def test_english_pages_are_joined_with_a_space() -> None:
    passages = _split(
        Document("the end of the", metadata={"page": 1}), Document("page is here.", metadata={"page": 2})
    )
    assert [passage.text for passage in passages] == ["the end of the page is here."]


def test_headings_are_never_mixed() -> None:
    passages = _split(
        Document("甲。", metadata={"heading": "一"}), Document("乙。", metadata={"heading": "二"})
    )
    assert [(passage.text, passage.anchor["heading"]) for passage in passages] == [
        ("甲。", "一"),
        ("乙。", "二"),
    ]


def test_records_stay_whole_and_alone() -> None:
    rows = [Document("列: " + "值" * 300, metadata={"row": n, "atomic": True}) for n in (1, 2)]
    passages = _split(*rows, Document("正文。"))
    assert [len(passage.text) for passage in passages] == [303, 303, 3]
    assert [passage.anchor for passage in passages] == [{"row": 1}, {"row": 2}, {}]


def test_a_very_long_record_is_cut_and_keeps_its_place_and_its_subject() -> None:
    row = "\n".join(["姓名: 张三", *(f"列{n}: 第{n}列的值。" for n in range(2000))])
    passages = _split(Document(row, metadata={"row": 2, "atomic": True}), size=250, overlap=50)
    assert len(passages) > 50
    assert {(p.anchor["row"], p.text.split("\n")[0]) for p in passages} == {(2, "姓名: 张三")}
    assert all(len(p.text) <= 250 + len("姓名: 张三\n") for p in passages)
    assert "列1999: 第1999列的值。" in passages[-1].text


def test_a_record_of_one_long_value_is_cut() -> None:
    passages = _split(
        Document("正文: " + "一句话。" * 20_000, metadata={"atomic": True}), size=250, overlap=0
    )
    assert max(len(passage.text) for passage in passages) <= 250


def test_repeated_text_keeps_the_right_page() -> None:
    pages = [Document("同样的一句话。" * 10, metadata={"page": n}) for n in range(1, 6)]
    numbers = [passage.anchor["page"] for passage in _split(*pages, size=70, overlap=0)]
    assert numbers == sorted(numbers)
    assert set(numbers) == {1, 2, 3, 4, 5}


def test_title_enhancement() -> None:
    passages = _split(
        Document("第三章 假期", metadata={"heading": "a"}),
        Document("年假五天。", metadata={"heading": "b"}),
        zh_title_enhance=True,
    )
    assert [passage.text for passage in passages] == ["第三章 假期", "下文与(第三章 假期)有关。年假五天。"]
    plain = _split(
        Document("第三章 假期", metadata={"heading": "a"}), Document("年假五天。", metadata={"heading": "b"})
    )
    assert plain[1].text == "年假五天。"


def test_titles_are_marked_and_only_titles() -> None:
    passages = _split(
        Document("第三章 假期", metadata={"heading": "a"}),
        Document("年假五天。", metadata={"heading": "b"}),
        Document("2.1 报销标准", metadata={"heading": "c"}),
        Document("每晚四百元。", metadata={"heading": "d"}),
        zh_title_enhance=True,
    )
    assert [passage.anchor.get("category") for passage in passages] == ["cn_Title", None, "cn_Title", None]
    assert passages[3].text == "下文与(2.1 报销标准)有关。每晚四百元。"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("第三章 假期", True),
        ("2.1 报销标准", True),
        ("１ 总则", True),
        ("一、总则", True),
        ("", False),
        ("总则", False),  # no numeral
        ("关于年度休假第三章", False),  # the numeral comes after the fifth character
        ("第三章 假期。", False),  # ends in punctuation
        ("第三章（假期）", False),
        ("2024", False),
        ("一二三", False),  # numerals only
        ("1. 2. 3. 4", False),  # fewer than half are letters
        ("1 a", True),  # exactly half; spaces do not count
        ("1 2 a b", True),
        ("第1" + "章" * 18, True),  # 20 characters
        ("第1" + "章" * 19, False),
    ],
)
def test_what_is_a_title(text: str, expected: bool) -> None:
    assert is_title(text) is expected


def test_nothing_in_nothing_out() -> None:
    assert _split() == []
    assert _split("  \n\n ") == []


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "。" * 1_000_000, "a…a!" * 250_000, "\n" * 1_000_000, "字" * 2_000_000]
)
def test_odd_shapes_take_no_odd_time(text: str) -> None:
    """Not a benchmark: a separator that backtracks would take minutes here."""
    started = time.process_time()
    assert all(len(passage.text) <= 250 for passage in _split(text, size=250, overlap=50))
    assert time.process_time() - started < 20
