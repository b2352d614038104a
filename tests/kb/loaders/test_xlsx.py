"""Workbooks by openpyxl, and by hand what lies about itself."""

from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import openpyxl
import pytest

from server.kb.loaders.base import LoadLimits
from tests.kb.loaders.reading import SHARED, pairs, read, refused, texts


def _book(tmp_path: Path, *rows: list[Any]) -> tuple[Any, Any, Path]:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    for row in rows:
        sheet.append(row)
    return book, sheet, tmp_path / "a.xlsx"


def _rewrite(path: Path, name: str, old: str, new: str) -> None:
    """Change a part of the archive."""
    with ZipFile(path) as archive:
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    assert old.encode() in parts[name]
    parts[name] = parts[name].replace(old.encode(), new.encode())
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for entry, data in parts.items():
            archive.writestr(entry, data)


def test_each_row_is_a_record_with_its_place(tmp_path: Path) -> None:
    book, sheet, path = _book(
        tmp_path, [None, "姓名", "部门"], [None, "张三", "研发"], [], [None, None, "市场"]
    )
    sheet.title = "名单"
    other = book.create_sheet("其他")
    other.append(["甲"])
    book.create_sheet("密").append(["隐藏"])
    book["密"].sheet_state = "hidden"
    book.create_sheet("空")
    book.save(path)
    assert [(d.page_content, d.metadata) for d in read(path)] == [
        ("姓名: 张三\n部门: 研发", {"sheet": "名单", "range": "B2:C2", "row": 2, "atomic": True}),
        ("部门: 市场", {"sheet": "名单", "range": "C4:C4", "row": 4, "atomic": True}),
        ("甲", {"sheet": "其他", "range": "A1:A1", "row": 1, "atomic": True}),
    ]


def test_values_as_a_reader_sees_them(tmp_path: Path) -> None:
    values = [
        3.0,
        0.1 + 0.2,
        1e20,
        True,
        date(2026, 3, 1),
        datetime(2026, 3, 1, 9, 30),  # noqa: DTZ001 (cells know no zone)
        time(9, 5),
        0.155,
        "a\nb",
        -7,
    ]
    book, sheet, path = _book(tmp_path, [f"c{i}" for i in range(len(values))], values)
    sheet["H2"].number_format = "0.0%"
    book.save(path)
    expected = [
        "3",
        "0.3",
        "100000000000000000000",
        "TRUE",
        "2026-03-01",
        "2026-03-01 09:30:00",
        "09:05:00",
        "15.5%",
        "a\nb",
        "-7",
    ]
    (text,) = texts(path)
    assert text == "\n".join(f"c{i}: {value}" for i, value in enumerate(expected)).replace(
        "1" + "0" * 20, "1e+20"
    )


def test_title_row_and_cells_merged_downwards(tmp_path: Path) -> None:
    book, sheet, path = _book(
        tmp_path,
        ["差旅标准"],
        ["地区", "城市", "住宿"],
        ["华北", "北京", 500],
        [None, "天津", 400],
        ["华东", "上海", 500],
    )
    sheet.merge_cells("A1:C1")
    sheet.merge_cells("A3:A4")
    book.save(path)
    assert pairs(path) == [
        ("差旅标准", "地区: 华北\n城市: 北京\n住宿: 500"),
        ("差旅标准", "地区: 华北\n城市: 天津\n住宿: 400"),
        ("差旅标准", "地区: 华东\n城市: 上海\n住宿: 500"),
    ]


def test_last_calculated_values_are_read(tmp_path: Path) -> None:
    book, _, path = _book(tmp_path, ["甲", "乙"], [1, "=A2+1"])
    book.save(path)
    _rewrite(path, "xl/worksheets/sheet1.xml", "</f><v></v>", "</f><v>2</v>")
    assert texts(path) == ["甲: 1\n乙: 2"]


@pytest.mark.timeout(60)
def test_declared_size_is_not_believed(tmp_path: Path) -> None:
    book, _, path = _book(tmp_path, ["甲", "乙"], [1, 2])
    book.save(path)
    _rewrite(path, "xl/worksheets/sheet1.xml", 'ref="A1:B2"', 'ref="A1:XFD1048576"')
    assert texts(path) == ["甲: 1\n乙: 2"]


@pytest.mark.timeout(60)
def test_far_cell(tmp_path: Path) -> None:
    book, sheet, path = _book(tmp_path, ["甲", "乙"])
    sheet["XFD1048576"] = "远"
    book.save(path)
    assert pairs(path, "range") == [("XFD1048576:XFD1048576", "XFD: 远")]


def test_wide_empty_rows_count(tmp_path: Path) -> None:
    book, sheet, path = _book(tmp_path, ["甲", "乙"])
    for row in range(2, 12):
        sheet.cell(row, 16_384, "x")
    book.save(path)
    assert refused(path, LoadLimits(max_chars=100_000)) == "parse_limit"


def test_cell_of_the_greatest_length(tmp_path: Path) -> None:
    book, _, path = _book(tmp_path, ["甲", "乙"], ["长" * 32_767, 1])
    book.save(path)
    assert texts(path) == ["甲: " + "长" * 32_767 + "\n乙: 1"]


def test_too_many_sheets(tmp_path: Path) -> None:
    book, _, path = _book(tmp_path, ["甲"])
    book.create_sheet("二").append(["乙"])
    book.save(path)
    assert refused(path, LoadLimits(max_pages=1)) == "too_many_pages"


def test_empty_workbook(tmp_path: Path) -> None:
    book, _, path = _book(tmp_path)
    book.save(path)
    assert refused(path) == "no_text"


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
def test_real_file() -> None:
    documents = read(SHARED / "langchain-ChatGLM_open.xlsx")
    assert len(documents) == 323
    assert documents[0].page_content.startswith("A: 0\ntitle: 效果如何优化\nfile: 2023-04-04.00\n")
    assert documents[0].metadata == {"sheet": "Sheet1", "range": "A2:F2", "row": 2, "atomic": True}
