"""Words that say the same, stop words and weights of one knowledge base."""

from typing import Any

import pytest

from server.kb import wording
from server.kb.analysis import highlight, question_terms, same_words
from tests.support.api import Caller

PATH = "/knowledge_base"
NAME = {"knowledge_base_name": "kb"}


def test_a_text_is_read_in_the_questions_words() -> None:
    same = same_words(
        "ERP的年假怎麼申請", [["erp", "企业资源系统"], ["年休假", "年假", "带薪假"], ["病假", "医疗期"]]
    )
    assert same.others == {"企业资源系统": "erp", "年休假": "年假", "带薪假": "年假"}
    assert same.translate("企业资源系统里的年休假、医疗期") == "erp里的年假、医疗期"
    assert same_words("erps 是什么", [["erp", "系统"]]).others == {}, "letters are no part of a word"
    assert same_words("系统", [["erp", "系统"]]).translate("erps, erp系统") == "erps, 系统系统"
    assert same_words("年假", ()).translate("年休假") == "年休假"


def test_what_says_the_same_is_marked_too() -> None:
    text = "工作满一年的，年休假五天"
    assert [text[slice(*span)] for span in highlight("带薪假几天", text)] == []
    synonyms = [["带薪假", "年休假"]]
    assert [text[slice(*span)] for span in highlight("带薪假几天", text, synonyms=synonyms)] == ["年休假"]


def test_of_thousands_of_words_only_those_that_are_said_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """300 groups of 20 took a second of everybody's time, for every question and for every hit."""
    patterns: list[str] = []
    whole = wording._whole

    def counted(word: str) -> str:
        patterns.append(word)
        return whole(word)

    monkeypatch.setattr(wording, "_whole", counted)
    groups = [[f"词{group}号{number}" for number in range(20)] for group in range(300)]
    same = same_words("词7号3是什么", groups)
    assert len(same.others) == 19
    assert len(patterns) == 20


def test_a_stop_word_is_no_part_of_a_longer_word() -> None:
    assert question_terms("limit of its data", ["it", "a"])[0] == "limit"
    assert "星河" not in question_terms("星河公司的食堂", ["星河公司"])


async def _tune(editor: Caller, **fields: Any) -> dict[str, Any]:
    answer = await editor.post(f"{PATH}/update_retrieval", NAME | fields)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["effective"]


async def _files(editor: Caller, question: str) -> list[str]:
    return [hit["metadata"]["source"] for hit in await editor.search("kb", question, top_k=3)]


_FILES = {
    "a.txt": "客户关系平台每周一更新，由信息部维护。",
    "b.txt": "星河公司的食堂在二楼，星河公司的星河公司员工都可以去。",
    "c.txt": "CRMX 是一种化学药品，每周一更新库存。",
}


async def test_synonyms_of_a_knowledge_base(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {name: text.encode() for name, text in _FILES.items()})
    told = await _tune(editor, words=1.0)
    assert (told["words"], told["stop_words"], told["synonyms"]) == (1.0, [], [])
    before = await editor.search("kb", "CRM", top_k=3)
    assert all(hit["marks"] == [] for hit in before), "nothing has the word"
    told = await _tune(editor, synonyms=[["CRM", "客戶關係平台"]])
    assert (told["words"], told["synonyms"]) == (1.0, [["CRM", "客戶關係平台"]])
    (best, *_) = await editor.search("kb", "CRM", top_k=3)
    assert best["metadata"]["source"] == "a.txt"
    assert [best["page_content"][slice(*mark)] for mark in best["marks"]] == ["客户关系平台"]


async def test_stop_words_and_weights_count_at_once(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {name: text.encode() for name, text in _FILES.items()})
    await _tune(editor, words=1.0)
    question = "星河公司什么时候更新"
    assert (await _files(editor, question))[0] == "b.txt"
    await _tune(editor, stop_words=["星河公司"])
    assert (await _files(editor, question))[0] in ("a.txt", "c.txt")
    by_words = await editor.search("kb", question, top_k=3)
    told = await _tune(editor, words=0)
    assert (told["words"], told["stop_words"]) == (0.0, ["星河公司"])
    near = await editor.search("kb", question, top_k=3)
    assert [hit["score"] for hit in near] == sorted(hit["score"] for hit in by_words)
    assert await _tune(editor, words=None, stop_words=None) == await _tune(editor)


@pytest.mark.parametrize(
    "fields",
    [
        {"words": 1.1},
        {"fusion": "best"},
        {"diversity": 1},
        {"stop_words": ["的" * 31]},
        {"stop_words": ["，"]},
        {"synonyms": [["\N{GREEK YPOGEGRAMMENI}", "年假"]]},
        {"stop_words": [str(n) for n in range(201)]},
        {"synonyms": [["alone"]]},
        {"synonyms": [["a", " "]]},
        {"synonyms": "a,b"},
    ],
)
async def test_refusals(editor: Caller, fields: dict[str, Any]) -> None:
    await editor.create_kb()
    refused = await editor.post(f"{PATH}/update_retrieval", NAME | fields)
    assert refused.status_code == 422
    assert (await editor.post(f"{PATH}/update_retrieval", {"knowledge_base_name": "none"})).status_code == 404


async def test_answers_are_quoted_by_synonyms_too(editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"办公.txt": "居家办公每周最多两天，须提前一天告知主管。".encode()})
    question = "WFH 一周几天？"
    answer, _ = await editor.ask("kb", question, model_name="quote")
    assert "最多两天" not in answer
    await _tune(editor, synonyms=[["WFH", "居家办公"]])
    answer, _ = await editor.ask("kb", question, model_name="quote")
    assert "居家办公每周最多两天" in answer, "as it is written"
