"""Word documents by python-docx, and by hand what it cannot write."""

from pathlib import Path
from typing import Any

import docx
import pytest
from docx.enum.text import WD_BREAK
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from tests.kb.loaders.reading import pairs, refused, texts

_TEMPLATE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"


def _save(document: Any, tmp_path: Path) -> Path:
    document.save(str(tmp_path / "a.docx"))
    return tmp_path / "a.docx"


def _fill(table: Any, rows: list[list[str]]) -> None:
    for row, cells in zip(table.rows, rows, strict=True):
        for cell, text in zip(row.cells, cells, strict=True):
            cell.text = text


def test_sections_and_tables_in_order(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("员工手册", 0)
    document.add_paragraph("总则")
    document.add_heading("假期", 1)
    document.add_heading("年假", 2)
    document.add_paragraph("按工龄：")
    _fill(document.add_table(3, 2), [["工龄", "天数"], ["1 年", "5"], ["10 年", "10\n或 12"]])
    document.add_paragraph("完。").add_run().add_break(WD_BREAK.PAGE)
    document.add_heading("报销", 1)
    document.add_paragraph("保留发票", style="List Bullet")
    assert pairs(_save(document, tmp_path)) == [
        ("员工手册", "员工手册\n总则"),
        ("员工手册 > 假期 > 年假", "年假\n按工龄：\n工龄: 1 年; 天数: 5\n工龄: 10 年; 天数: 10 或 12\n完。"),
        ("员工手册 > 报销", "报销\n保留发票"),
    ]


def test_merged_cells_stand_in_each_row(tmp_path: Path) -> None:
    document = docx.Document()
    table = document.add_table(4, 3)
    _fill(table, [["部门", "姓名", "电话"], ["研发", "张三", "1"], ["", "李四", "2"], ["", "王五", "3"]])
    table.cell(1, 0).merge(table.cell(3, 0))
    table.cell(3, 1).merge(table.cell(3, 2))
    table.cell(1, 0).text = "研发"
    assert texts(_save(document, tmp_path)) == [
        "部门: 研发; 姓名: 张三; 电话: 1\n部门: 研发; 姓名: 李四; 电话: 2\n部门: 研发; 姓名: 王五 3"
    ]


def test_table_in_a_table(tmp_path: Path) -> None:
    document = docx.Document()
    outer = document.add_table(2, 1)
    outer.cell(0, 0).text = "明细"
    _fill(outer.cell(1, 0).add_table(2, 2), [["项", "价"], ["笔", "2"]])
    assert texts(_save(document, tmp_path)) == ["明细: 项: 笔; 价: 2"]


@pytest.mark.parametrize("name", ["标题 2", "heading 2"])
def test_heading_styles_by_name_by_level_and_by_descent(tmp_path: Path, name: str) -> None:
    document = docx.Document()
    document.styles.add_style(name + "x", 1)
    style = document.styles[name + "x"]
    style.element.find("{*}name").set(
        "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}val", name
    )
    child = document.styles.add_style("My Heading", 1)
    child.base_style = style
    document.add_paragraph("甲", style=child)
    document.add_paragraph("文")
    own = document.add_paragraph("乙")
    own._p.get_or_add_pPr().append(parse_xml(f'<w:outlineLvl {nsdecls("w")} w:val="2"/>'))
    document.add_paragraph("文")
    assert pairs(_save(document, tmp_path)) == [("甲", "甲\n文"), ("甲 > 乙", "乙\n文")]


def test_tracked_changes_content_controls_fields_and_boxes(tmp_path: Path) -> None:
    document = docx.Document()
    body = document.element.body
    inner = '<w:r><w:t xml:space="preserve">{}</w:t></w:r>'
    namespaces = nsdecls("w") + (
        ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
        ' xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"'
    )
    box = f"<w:txbxContent><w:p>{inner.format('框')}</w:p></w:txbxContent>"
    blocks = [
        f"<w:p {namespaces}>{inner.format('甲')}<w:ins>{inner.format('加')}</w:ins><w:del><w:r><w:delText>删</w:delText></w:r></w:del><w:moveFrom><w:r><w:t>移走</w:t></w:r></w:moveFrom><w:del>"
        f'</w:del><w:fldSimple w:instr="DATE">{inner.format("域")}</w:fldSimple><w:r><w:tab/><w:t>后</w:t></w:r></w:p>',
        f"<w:sdt {namespaces}><w:sdtContent><w:p><w:sdt><w:sdtContent>{inner.format('控件')}</w:sdtContent></w:sdt></w:p>"
        "</w:sdtContent></w:sdt>",
        f"<w:p {namespaces}><w:r><mc:AlternateContent><mc:Choice Requires='wps'><wps:txbx>{box}</wps:txbx></mc:Choice>"
        f"<mc:Fallback><w:pict>{box}</w:pict></mc:Fallback></mc:AlternateContent></w:r>{inner.format('乙')}</w:p>",
    ]
    for index, block in enumerate(blocks):
        body.insert(index, parse_xml(block))
    assert texts(_save(document, tmp_path)) == ["甲加域\t后\n控件\n乙\n框"]


def test_footnotes(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("正文")
    xml = f'<w:footnotes {nsdecls("w")}><w:footnote w:id="1"><w:p><w:r><w:t>脚注</w:t></w:r></w:p></w:footnote></w:footnotes>'
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.footnotes+xml"
    part = Part(PackURI("/word/footnotes.xml"), kind, xml.encode(), document.part.package)
    document.part.relate_to(part, RELATIONSHIP_TYPE.FOOTNOTES)
    assert texts(_save(document, tmp_path)) == ["正文\n脚注"]


def test_linked_picture_is_not_fetched(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("正文")
    document.part.relate_to("http://127.0.0.1:9/x.png", RELATIONSHIP_TYPE.IMAGE, is_external=True)
    document.part.relate_to("http://127.0.0.1:9/t.dotm", _TEMPLATE, is_external=True)
    assert texts(_save(document, tmp_path)) == ["正文"]


def test_empty_document(tmp_path: Path) -> None:
    assert refused(_save(docx.Document(), tmp_path)) == "no_text"


@pytest.mark.timeout(60)
def test_long_merged_column_takes_linear_time(tmp_path: Path) -> None:
    """python-docx itself climbs the merged cell for every row."""
    document = docx.Document()
    cell = "<w:tc><w:tcPr><w:vMerge{}/></w:tcPr><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    rows = ["<w:tr><w:tc><w:p><w:r><w:t>部门</w:t></w:r></w:p></w:tc></w:tr>"]
    rows.append("<w:tr>" + cell.format(' w:val="restart"', "研发") + "</w:tr>")
    rows += ["<w:tr>" + cell.format("", "") + "</w:tr>"] * 4999
    document.element.body.insert(0, parse_xml(f"<w:tbl {nsdecls('w')}>{''.join(rows)}</w:tbl>"))
    (text,) = texts(_save(document, tmp_path))
    assert text == "\n".join(["部门: 研发"] * 5000)
