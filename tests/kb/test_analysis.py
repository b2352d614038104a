"""Terms of texts, their marks, and how much of a question a passage says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.core.chinese import fold, fold_with_places, plain
from server.kb.analysis import highlight, question_terms, terms
from server.kb.lexicon import Lexicon, analyse, index_text, token
from server.kb.matching import match

_TEXT = st.text(
    st.one_of(st.characters(), st.sampled_from("浙江省年假的TH01-/. ，温溫裡ＴＨ０１")), max_size=60
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("年假", ["年假", "年", "假"]),
        ("雨", ["雨"]),
        ("TH01", ["th", "01", "th01"]),
        ("ＴＨ０１", ["th", "01", "th01"]),
        ("TH-01", ["th", "01", "th01"]),
        ("GB/T 1234-2020", ["gb", "t", "gbt", "1234", "t1234", "2020", "12342020"]),
        ("1,000,000", ["1000000"]),
        ("claims", ["claim"]),
        ("two words", ["two", "word"]),
        ("溫度", ["温度", "温", "度"]),
        ("Café", ["caf"]),  # the ending goes, from both sides
        ("", []),
        ("，。！", []),
    ],
)
def test_terms(text: str, found: list[str]) -> None:
    assert terms(text) == found


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("传感器-温度-TH01", "型号为傳感器-溫度-TH01"),
        ("th01", "ＴＨ－０１"),
        ("gb/t 1234-2020", "GB／T１２３４—２０２０"),
        ("A-01", "型号A01"),
        ("裡程", "里程"),
    ],
)
def test_what_is_written_in_other_ways_meets(question: str, passage: str) -> None:
    assert set(question_terms(question)) <= set(terms(passage)) | {"的", "为"}


def test_a_standard_written_as_one_word_meets_its_parts() -> None:
    assert {"gbt", "1234"} <= set(question_terms("GBT1234")) & set(terms("GB/T 1234-2020"))


@pytest.mark.parametrize("question", ["你好？", "请问什么是", "what is the", ""])
def test_what_only_asks_has_few_terms(question: str) -> None:
    assert set(question_terms(question)) <= {"你好", "你", "好"}


def test_stop_words_are_left_out() -> None:
    assert question_terms("本公司的年假", ["本公司"]) == question_terms("的年假")


@given(_TEXT)
def test_folding_twice_changes_nothing_and_places_are_true(text: str) -> None:
    folded, places = fold_with_places(text)
    assert folded == fold(text)
    assert len(folded) == len(places)
    assert places == sorted(places)
    assert all(0 <= place < len(text) for place in places)
    assert terms(fold(text)) == terms(text)


@given(_TEXT, _TEXT)
def test_marks_lie_in_the_text_and_do_not_touch(question: str, text: str) -> None:
    ranges = highlight(question, text)
    assert all(0 <= start < end <= len(text) for start, end in ranges)
    assert all(one[1] < other[0] for one, other in pairwise(ranges))


@given(_TEXT, _TEXT)
def test_a_match_is_a_share(question: str, text: str) -> None:
    wanted = question_terms(question)
    share = match(wanted, [1.0] * len(wanted), fold(text), 50.0)
    assert 0.0 <= share <= 1.0
    if wanted and not set(wanted) & set(terms(text)):
        assert share == 0.0


@given(_TEXT)
def test_other_texts_stay_as_they_are_for_models(text: str) -> None:
    assert plain("沈阳的著名人物 " + "abc") == "沈阳的著名人物 abc"
    assert plain(plain(text)) == plain(text)


def test_models_read_one_script() -> None:
    assert plain("臺灣的省會，２０１８年") == "台湾的省会，2018年"
    assert plain("乾隆年間") == "乾隆年间"


def test_marks_are_where_the_words_are() -> None:
    text = "型号：傳感器-溫度-ＴＨ０１，范围"
    assert [text[start:end] for start, end in highlight("传感器 th01 温度是多少", text)] == [
        "傳感器",
        "溫度",
        "ＴＨ０１",
    ]


def test_nearer_words_match_better() -> None:
    wanted = question_terms("年假几天")
    near, far = (
        "年假的天数是五。" + "其他规定见附件。" * 8,
        "年假见附件。" + "其他规定见附件。" * 8 + "天数是五。",
    )
    weights = [1.0] * len(wanted)
    assert match(wanted, weights, near, 60.0) > match(wanted, weights, far, 60.0)


@given(st.lists(st.lists(_TEXT, max_size=4), max_size=5), st.data())
def test_counts_are_those_of_the_documents_that_are_left(texts: list[list[str]], data: st.DataObject) -> None:
    counted = [analyse("kb", str(number), each)[1] for number, each in enumerate(texts)]
    gone = data.draw(st.sets(st.sampled_from([c.document_id for c in counted]))) if counted else set()
    with pytest.MonkeyPatch.context() as patch:  # in one go, or a document at a time
        patch.setattr("server.kb.lexicon._AT_ONCE", data.draw(st.sampled_from([0, 10**6])))
        lexicon = Lexicon.empty().changed([], counted).changed(gone, [])
    left = [text for number, each in enumerate(texts) if str(number) not in gone for text in each]
    wanted = sorted({term for each in texts for text in each for term in terms(text)})
    assert lexicon.passages == len(left)
    assert lexicon.length == sum(map(len, left))
    assert lexicon.frequencies(wanted).tolist() == [
        sum(term in terms(text) for text in left) for term in wanted
    ]


@given(st.text(min_size=1), st.text(min_size=1))
def test_tokens_are_words_for_every_database(kb: str, term: str) -> None:
    found = token(kb, term)
    assert len(found) == 6
    assert found.isascii()
    assert found.isalnum()
    assert found == found.lower()


def test_the_text_index_has_no_single_characters_of_longer_words() -> None:
    assert index_text("kb", terms("年假")) == token("kb", "年假")
    assert index_text("kb", terms("雨")) == ""
