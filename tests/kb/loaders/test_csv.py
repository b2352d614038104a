"""Tables as text files."""

from pathlib import Path

import pytest

from server.kb.loaders.base import LoadLimits
from tests.kb.loaders.reading import SHARED, pairs, read, refused, texts, write


def test_each_row_is_a_record_with_its_column_names(tmp_path: Path) -> None:
    source = '姓名,部门,备注\n张三,研发,"一,二\n三"\n\n李四,,"说""好"""\n'
    first, second = read(write(tmp_path / "a.csv", source))
    assert first.page_content == "姓名: 张三\n部门: 研发\n备注: 一,二\n三"
    assert first.metadata == {"row": 2, "atomic": True}
    assert second.page_content == '姓名: 李四\n备注: 说"好"'
    assert second.metadata["row"] == 4


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_delimiters_are_found(tmp_path: Path, delimiter: str) -> None:
    rows = [["姓名", "备注"], ["张三", '"a,b;c\td|e"'], ["李四", "f"]]
    source = "\n".join(delimiter.join(row) for row in rows)
    assert texts(write(tmp_path / "a.csv", source)) == ["姓名: 张三\n备注: a,b;c\td|e", "姓名: 李四\n备注: f"]


def test_tsv_is_divided_by_tabs_only(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.tsv", "词,语\n一,二\n三,四")) == ["词,语: 一,二", "词,语: 三,四"]


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    assert texts(write(tmp_path / "a.csv", "姓名,部门\r\n张三,研发\r\n", encoding)) == [
        "姓名: 张三\n部门: 研发"
    ]


def test_title_above_the_header(tmp_path: Path) -> None:
    source = "2026 年差旅标准,,\n\n城市,住宿\n北京,500"
    assert pairs(write(tmp_path / "a.csv", source)) == [("2026 年差旅标准", "城市: 北京\n住宿: 500")]


def test_cells_without_a_column_name_get_a_letter(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.csv", ",名,字\n0,甲,乙,多")) == ["A: 0\n名: 甲\n字: 乙\nD: 多"]


def test_header_alone_and_single_column(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.csv", "姓名,部门")) == ["姓名\n部门"]
    assert texts(write(tmp_path / "b.csv", "姓名\n张三\n李四")) == ["姓名: 张三", "姓名: 李四"]


def test_formulas_are_text(tmp_path: Path) -> None:
    source = "甲,乙\n=cmd|' /C calc'!A0,@SUM(1)"
    assert texts(write(tmp_path / "a.csv", source)) == ["甲: =cmd|' /C calc'!A0\n乙: @SUM(1)"]


def test_nul_is_dropped(tmp_path: Path) -> None:
    source = "姓名,部门\n张三\0,研发" + ",很长的一段文字" * 5
    assert texts(write(tmp_path / "a.csv", source))[0].startswith("姓名: 张三\n部门: 研发")


def test_many_columns(tmp_path: Path) -> None:
    source = ",".join(f"列{i}" for i in range(100_000)) + "\n" + ",".join("1" * 100_000)
    assert texts(write(tmp_path / "a.csv", source))[0].endswith("列99999: 1")


@pytest.mark.parametrize(
    "source", ["a,b\n1," + "x" * 1_100_000, 'a,b\n1,"' + "never closed\n" * 100_000], ids=["cell", "quote"]
)
def test_huge_cells(tmp_path: Path, source: str) -> None:
    assert refused(write(tmp_path / "a.csv", source)) == "parse_limit"


def test_repeated_column_names_count_as_text(tmp_path: Path) -> None:
    """A header of a million characters over a hundred rows is a hundred million."""
    source = "x" * 900_000 + ",b\n" + "1,2\n" * 100
    assert refused(write(tmp_path / "a.csv", source)) == "parse_limit"


def test_empty_cells_count(tmp_path: Path) -> None:
    source = "a,b\n" + ("," * 999 + "\n") * 20
    assert refused(write(tmp_path / "a.csv", source), LoadLimits(max_chars=20_000)) == "parse_limit"


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
def test_real_file() -> None:
    documents = read(SHARED / "langchain-ChatGLM_closed.csv")
    assert len(documents) == 172
    assert documents[0].page_content.startswith(
        "A: 0\ntitle: 加油~以及一些建议\nfile: 2023-03-31.0002\nurl: https"
    )
