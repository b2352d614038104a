"""Ways of cutting: what each makes of a file, what is refused, and how a preview shows it before anything is stored."""

import asyncio
import io
import os
import tempfile
from pathlib import Path
from typing import Any, get_args

import pytest
from langchain_core.documents import Document
from openpyxl import Workbook

from server.auth.principal import Principal, Scope
from server.kb import previews
from server.kb.chunk_methods import METHODS, cut
from server.kb.loaders.base import LoadError
from server.kb.loaders.questions import find_columns
from server.kb.parsing import FOLDER_PREFIX
from server.kb.schemas import ChunkMethod
from server.kb.splitters import Chunking, Passage
from server.services import Services
from tests.support.api import Caller

PATH = "/knowledge_base"
NAME = {"knowledge_base_name": "kb"}
pytestmark = pytest.mark.one_database


def _cut(documents: list[Document], method: str, size: int = 40, **more: Any) -> list[Passage]:
    return list(cut(documents, Chunking(size, 0, chunk_method=method, **more)))


def _section(text: str, heading: str, **place: Any) -> Document:
    return Document(page_content=text, metadata={"heading": heading, **place})


def test_the_api_knows_them_all() -> None:
    assert set(get_args(ChunkMethod)) == METHODS.keys()


class TestHeading:
    def test_a_section_is_a_passage_and_long_ones_are_cut_under_their_heading(self) -> None:
        long = "年假的规定有很多条，每一条都要遵守。" * 4
        passages = _cut([_section("# 假期\n五天。", "假期"), _section(long, "假期 > 年假")], "heading")
        assert passages[0] == Passage("# 假期\n五天。", {"heading": "假期"})
        assert len(passages) > 2
        assert {passage.anchor["heading"] for passage in passages[1:]} == {"假期 > 年假"}

    def test_a_section_goes_on_over_pages(self) -> None:
        passages = _cut([_section("一二三。", "甲", page=1), _section("四五六。", "甲", page=2)], "heading")
        assert [(passage.text, passage.anchor) for passage in passages] == [
            ("一二三。四五六。", {"heading": "甲", "page": 1, "page_end": 2})
        ]


class TestRow:
    def test_rows_of_sheets_stay_whole(self) -> None:
        text = "姓名: 张三\n备注: " + "长" * 3000
        rows = [Document(page_content=text, metadata={"row": 2, "atomic": True})]
        assert [passage.text for passage in _cut(rows, "row")] == [text]
        assert len(_cut(rows, "recursive")) > 1

    def test_tables_inside_texts(self) -> None:
        word = "各地标准如下。\n城市: 北京; 住宿: 500\n城市: 上海; 住宿: 480\n城市: 成都\n超出自理：见下。"
        passages = _cut([_section(word, "出差")], "row", 100)
        texts = [passage.text for passage in passages]
        assert texts == [
            "各地标准如下。",
            "城市: 北京; 住宿: 500",
            "城市: 上海; 住宿: 480",
            "城市: 成都",
            "超出自理：见下。",
        ]
        assert {passage.anchor["heading"] for passage in passages} == {"出差"}
        markdown = "前言\n\n| 城市 | 住宿 |\n|---|---:|\n| 北京 | 500 |\n| 上海 | 480 |\n\n后记"
        assert [passage.text for passage in _cut([Document(markdown)], "row", 100)] == [
            "前言",
            "城市: 北京\n住宿: 500",
            "城市: 上海\n住宿: 480",
            "后记",
        ]


class TestQuestions:
    @pytest.mark.parametrize(
        ("names", "columns"),
        [
            (["问题", "答案"], (0, 1)),
            (["编号", "标准问题 *", "分类", "【回答】"], (1, 3)),
            (["Q", "A"], (0, 1)),
            (["Answer", "Question"], (1, 0)),
            (["常见 / 问题", "常见 / 答复"], (0, 1)),
            (["问题", "备注"], None),
            (["姓名", "电话"], None),
        ],
    )
    def test_columns_are_known_by_their_names(
        self, names: list[str], columns: tuple[int, int] | None
    ) -> None:
        assert find_columns(names) == columns

    def test_other_rows_of_such_a_file_are_not_lost(self) -> None:
        rows = [
            Document(
                "问题: 年假几天\n答案: 五天", metadata={"row": 2, "atomic": True, "qa": ["年假几天", "五天"]}
            ),
            Document("答案: 备用", metadata={"row": 3, "atomic": True, "qa": ["", "备用"]}),
            Document("说明: 以上", metadata={"row": 1, "atomic": True}),
        ]
        passages = _cut(rows, "qa")
        assert [(p.text, p.anchor) for p in passages] == [
            ("五天", {"row": 2, "qa_question": "年假几天"}),
            ("答案: 备用", {"row": 3}),
            ("说明: 以上", {"row": 1}),
        ]

    def test_what_it_refuses(self) -> None:
        with pytest.raises(LoadError) as refused:
            _cut([Document("一段文字。")], "qa")
        assert refused.value.code == "no_questions"
        with pytest.raises(LoadError, match="row 7"):
            _cut([Document("x", metadata={"row": 7, "atomic": True, "qa": ["问", None]})], "qa")


class TestParents:
    def test_small_ones_know_their_large_one(self) -> None:
        text = "".join(f"第{n}条规定很重要，大家都要遵守它。" for n in range(1, 13))
        passages = _cut(
            [_section(text, "甲", page=1), _section("短。", "乙", page=2)], "parent_child", parent_size=90
        )
        assert max(len(passage.text) for passage in passages) <= 40
        numbers = [passage.parent for passage in passages]
        assert numbers == sorted(numbers, key=lambda number: number or 0)
        assert len(set(numbers)) < len(passages)
        assert passages[-1] == Passage(
            "短。", {"heading": "乙", "page": 2}, max(number or 0 for number in numbers)
        )
        for number in set(numbers):
            assert len("".join(p.text for p in passages if p.parent == number)) <= 90


def test_whole_is_one_and_not_without_end() -> None:
    pages = [Document(f"第{n}页。", metadata={"page": n, "heading": f"{n}"}) for n in (1, 2, 3)]
    assert _cut(pages, "whole") == [Passage("第1页。\n\n第2页。\n\n第3页。", {"page": 1, "page_end": 3})]
    with pytest.raises(LoadError, match="20000"):
        _cut([Document("长" * 20_001)], "whole")


def _workbook() -> bytes:
    book = Workbook()
    sheet: Any = book.active
    sheet.append(["编号", "问题", "答案"])
    sheet.append([1, "年假一共有几天？", "五天。\n满十年的十天。"])
    sheet.append([2, "密码多久更换一次？", "九十天。"])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


JSONL = '{"question": "食堂几点开门？", "answer": "十一点半。"}\n{"question": "几点关门？", "answer": "一点。"}'.encode()


class TestOverHttp:
    async def test_questions_are_searched_and_answers_told(self, editor: Caller, services: Services) -> None:
        await editor.create_kb(chunk_method="qa")
        documents = await editor.ingest(
            "kb", {"问答.xlsx": _workbook(), "问答.jsonl": JSONL, "b.txt": "只是文字。".encode()}
        )
        assert documents["问答.xlsx"]["chunks"] == documents["问答.jsonl"]["chunks"] == 2
        assert documents["问答.xlsx"]["chunking"]["chunk_method"] == "qa"
        failed = documents["b.txt"]
        assert (failed["state"], failed["error_code"]) == ("failed", "no_questions")
        assert "问题" in failed["reason"]
        hits = await editor.search("kb", "年假一共有几天？", top_k=1)
        assert hits[0]["page_content"] == "五天。\n满十年的十天。"
        assert hits[0]["metadata"]["qa_question"] == "年假一共有几天？"
        assert hits[0]["score"] < (await editor.search("kb", "满十年的十天", top_k=1))[0]["score"]
        (read,) = (await services.kb.search(_principal(), "kb", "食堂几点开门？", top_k=1))[0]
        assert read.reading == "食堂几点开门？\n十一点半。"

    async def test_the_large_passage_is_read(self, editor: Caller, services: Services) -> None:
        lines = [f"第{n}条：编号{n}的设备放在{n + 100}号仓库，钥匙由值班人员保管。" for n in range(1, 9)]
        await editor.create_kb()
        fields = {"chunk_method": "parent_child", "chunk_size": 40, "chunk_overlap": 0, "parent_size": 140}
        await editor.ingest("kb", {"a.txt": "\n".join(lines).encode()}, **fields)
        await editor.post(f"{PATH}/update_retrieval", NAME | {"expand": 0})
        caller = _principal()
        kbs = [await services.kb.get(caller, "kb")]
        hits, _ = await services.kb.search(caller, "kb", "编号3的设备在哪里？", top_k=1)
        assert hits[0].text == lines[2]
        (read,) = await services.kb.read_widely(kbs, hits, 1000)
        assert read.reading == "\n".join(lines[:4])
        shown = await editor.get(f"{PATH}/chunks", knowledge_base_name="kb", file_name="a.txt")
        first = shown.json()["data"]["items"][0]
        assert (first["text"], first["parent"]) == (lines[0], "\n".join(lines[:4]))
        # One that is switched off is not read beside another.
        off = NAME | {"chunk_id": first["chunk_id"], "enabled": False}
        assert (await editor.post(f"{PATH}/update_chunk", off)).status_code == 200
        (read,) = await services.kb.read_widely(kbs, hits, 1000)
        assert read.reading == "\n".join(lines[1:4])
        (read,) = await services.kb.read_widely(kbs, hits, 80)
        assert hits[0].text in read.reading
        assert len(read.reading) <= 80

    @pytest.mark.parametrize(
        "fields",
        [
            {"chunk_method": "clever"},
            {"parent_size": 500},
            {"chunk_method": "heading", "parent_size": 500},
            {"chunk_method": "parent_child", "chunk_size": 300, "parent_size": 200},
        ],
    )
    async def test_what_does_not_fit_is_refused(self, editor: Caller, fields: dict[str, Any]) -> None:
        await editor.create_kb()
        answer = await editor.post(f"{PATH}/update_chunking", NAME | fields)
        assert (answer.status_code, len(answer.json()["msg"]) > 10) == (422, True)
        assert (await editor.upload("kb", {"a.txt": b"a"}, **fields)).status_code == 422

    async def test_who_says_nothing_has_what_was(self, editor: Caller, services: Services) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
        documents = await editor.documents("kb")
        document_id = documents["a.txt"]["document_id"]
        again = await editor.upload("kb", {"a.txt": "年假五天。".encode()}, override=True)
        assert again.json()["data"]["documents"][0] == {
            "file_name": "a.txt",
            "document_id": document_id,
            "job_id": None,
            "state": "ready",
        }
        changed = await editor.upload(
            "kb", {"a.txt": "年假五天。".encode()}, override=True, chunk_method="whole"
        )
        assert changed.json()["data"]["documents"][0]["job_id"]


class TestPreview:
    async def test_shows_and_stores_nothing(self, editor: Caller) -> None:
        await editor.create_kb(chunk_method="parent_child", chunk_size=40, chunk_overlap=0, parent_size=100)
        before = _folders()
        text = "年假的规定有很多条，每一条都要遵守。" * 20
        shown = await _preview(editor, {"limit": "3"}, ("a.txt", text.encode()))
        assert shown["total"] > len(shown["chunks"]) == 3
        assert shown["chars"] >= len(text)
        assert shown["chunks"][0]["text"] in shown["chunks"][0]["parent"]
        assert len(shown["chunks"][0]["parent"]) > 40
        other = await _preview(editor, {"chunk_method": "qa"}, ("q.xlsx", _workbook()))
        assert other["chunks"][0] == {
            "position": 0,
            "text": "五天。\n满十年的十天。",
            "anchor": {"sheet": "Sheet", "range": "A2:C2", "row": 2},
            "question": "年假一共有几天？",
            "parent": None,
        }
        assert await editor.documents("kb") == {}
        assert _folders() == before

    async def test_tells_what_is_missing_from_the_text(self, editor: Caller) -> None:
        await editor.create_kb()
        page = "<p>年假五天。</p><p style='display:none'>全部通过。</p>"
        shown = await _preview(editor, {}, ("a.html", page.encode()))
        assert shown["findings"] == {"hidden_chars": 5}
        assert len(shown["warnings"]) == 1
        assert "隐藏" in shown["warnings"][0]
        plain = await _preview(editor, {}, ("b.html", "<p>年假五天。</p>".encode()))
        assert (plain["findings"], plain["warnings"]) == ({}, [])

    async def test_one_that_is_there(self, editor: Caller) -> None:
        await editor.create_kb()
        await editor.ingest("kb", {"a.txt": "一。二。".encode()})
        shown = await _preview(editor, {"file_name": "a.txt", "chunk_method": "whole"})
        assert [chunk["text"] for chunk in shown["chunks"]] == ["一。二。"]

    async def test_refusals(self, editor: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        await editor.create_kb()
        before = _folders()
        cases = {
            ("a.exe", b"MZ"): (415, "unsupported_file"),
            ("a.txt", b""): (422, "empty_file"),
            ("a.pdf", b"no pdf"): (415, "type_mismatch"),
            ("a.json", b"{"): (422, "parse_error"),
            ("a.csv", b"a,b\n1,2"): (422, "no_questions"),
        }
        for file, (status, code) in cases.items():
            answer = await _post(editor, {"chunk_method": "qa"}, file)
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), file
        assert (await _post(editor, {})).status_code == 422
        assert (await _post(editor, {"file_name": "none.txt"})).status_code == 404
        monkeypatch.setattr(previews, "_MOST", 1)
        both = await asyncio.gather(*(_post(editor, {}, ("a.txt", "一。".encode())) for _ in range(3)))
        assert sorted(answer.status_code for answer in both)[0] == 200
        assert {answer.status_code for answer in both} <= {200, 429}
        assert 429 in {answer.status_code for answer in both}
        assert _folders() == before


async def _post(editor: Caller, fields: dict[str, str], file: tuple[str, bytes] | None = None) -> Any:
    files = {"file": file} if file else {"none": ("", b"")}
    return await editor.http.post(f"{PATH}/preview_chunks", data=NAME | fields, files=files)


async def _preview(editor: Caller, fields: dict[str, str], file: tuple[str, bytes] | None = None) -> Any:
    answer = await _post(editor, fields, file)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]


def _folders() -> set[str]:
    """Of children, and of previews, of this process."""
    return {path.name for path in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}{os.getpid()}-*")}


def _principal() -> Principal:
    return Principal("acme", "u1", "", frozenset(Scope))


def test_passages_do_not_repeat_a_text_without_end() -> None:
    text = "年假的规定有很多条，每一条都要遵守。" * 3000
    with pytest.raises(LoadError, match="chunk_overlap"):
        list(cut([Document(page_content=text)], Chunking(4001, 4000)))
    assert list(cut([Document(page_content=text)], Chunking(400, 200)))
