"""OpenDocument, written by hand to the letter of its standard; what LibreOffice writes is in test_programs.py."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from server.kb.loaders import load
from server.kb.loaders.base import LoadLimits, Watch
from tests.kb.loaders.reading import pairs, read, refused, texts

NAMES = " ".join(
    f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{part}:1.0"'
    for name, part in {
        "office": "office", "text": "text", "table": "table", "style": "style", "draw": "drawing",
        "presentation": "presentation", "fo": "xsl-fo-compatible",
    }.items()
)  # fmt: skip
KINDS = {".odt": "text", ".ods": "spreadsheet", ".odp": "presentation"}


def odf(path: Path, body: str, styles: str = "", manifest: str = "<m/>", prolog: str = "") -> Path:
    kind = KINDS[path.suffix]
    content = (
        f"{prolog}<office:document-content {NAMES}><office:automatic-styles>{styles}</office:automatic-styles>"
        f"<office:body><office:{kind}>{body}</office:{kind}></office:body></office:document-content>"
    )
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr("META-INF/manifest.xml", manifest)
        archive.writestr("content.xml", content)
    return path


def _style(name: str, family: str, properties: str) -> str:
    return f'<style:style style:name="{name}" style:family="{family}">{properties}</style:style>'


def test_headings_lists_notes_and_spaces(tmp_path: Path) -> None:
    body = """<text:h text:outline-level="1">手册</text:h><text:p>一<text:s text:c="3"/>二<text:tab/>三<text:line-break/>四
      <text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>脚注</text:p></text:note-body></text:note></text:p>
      <text:list><text:list-item><text:p>甲</text:p><text:list><text:list-item><text:p>乙</text:p></text:list-item></text:list>
      </text:list-item></text:list><text:h text:outline-level="2">年假</text:h><text:p>十五天
      <office:annotation><text:p>批注</text:p></office:annotation></text:p>
      <text:tracked-changes><text:p>删去</text:p></text:tracked-changes>"""
    found = [(heading, "".join(text.split(" "))) for heading, text in pairs(odf(tmp_path / "a.odt", body))]
    assert found == [("手册", "手册\n一二\t三\n四\n\n甲\n乙"), ("手册 > 年假", "年假\n十五天\n\n脚注")]


def test_hidden_text_is_left_out_and_counted(tmp_path: Path) -> None:
    text = "style:text-properties"
    styles = (
        _style("N", "text", f'<{text} text:display="none"/>')
        + _style("W", "text", f'<{text} fo:color="#ffffff"/>')
        + _style("T", "text", f'<{text} fo:font-size="1pt"/>')
        + _style("B", "paragraph", '<style:paragraph-properties fo:background-color="#000000"/>')
    )
    spans = "".join(f'<text:span text:style-name="{name}">藏{name}</text:span>' for name in "NWT")
    body = f"<text:p>看{spans}见</text:p><text:p text:style-name='B'><text:span text:style-name='W'>白底黑</text:span></text:p>"
    body += '<text:section text:display="none"><text:p>整节</text:p></text:section>'
    watch = Watch()
    path = odf(tmp_path / "a.odt", body, styles)
    (document,) = load(path, ".odt", LoadLimits(), watch)
    assert document.page_content == "看见\n白底黑"
    assert watch.findings.hidden_chars == 8


def test_sheet_with_repeats_merged_header_and_hidden_parts(tmp_path: Path) -> None:
    body = """<table:table table:name="价目"><table:table-column/><table:table-column/>
      <table:table-column/><table:table-column table:visibility="collapse"/>
      <table:table-row><table:table-cell table:number-rows-spanned="2"><text:p>项目</text:p></table:table-cell>
        <table:table-cell table:number-columns-spanned="2"><text:p>价格</text:p></table:table-cell><table:covered-table-cell/></table:table-row>
      <table:table-row><table:covered-table-cell/><table:table-cell><text:p>含税</text:p></table:table-cell>
        <table:table-cell><text:p>不含税</text:p></table:table-cell></table:table-row>
      <table:table-row><table:table-cell><text:p>打印</text:p></table:table-cell>
        <table:table-cell office:value-type="float" office:value="0.5"><text:p>50%</text:p></table:table-cell>
        <table:table-cell office:value-type="date" office:date-value="2026-03-01T00:00:00"><text:p>3月1日</text:p></table:table-cell>
        <table:table-cell><text:p>密列</text:p></table:table-cell></table:table-row>
      <table:table-row table:visibility="collapse"><table:table-cell><text:p>密行</text:p></table:table-cell></table:table-row>
      <table:table-row table:number-rows-repeated="1048000"><table:table-cell table:number-columns-repeated="16384"/></table:table-row>
      <table:table-row table:number-rows-repeated="2"><table:table-cell table:number-columns-repeated="2"><text:p>同</text:p>
        </table:table-cell></table:table-row></table:table>
      <table:table table:name="密" table:style-name="H"><table:table-row><table:table-cell><text:p>密表</text:p></table:table-cell>
        </table:table-row></table:table>"""
    styles = _style("H", "table", '<style:table-properties table:display="false"/>')
    watch = Watch()
    documents = list(load(odf(tmp_path / "a.ods", body, styles), ".ods", LoadLimits(), watch))
    assert [(d.page_content, d.metadata["range"]) for d in documents] == [
        ("项目: 打印\n价格 / 含税: 50%\n价格 / 不含税: 2026-03-01", "A3:C3"),
        ("项目: 同\n价格 / 含税: 同", "A1048005:B1048005"),
        ("项目: 同\n价格 / 含税: 同", "A1048006:B1048006"),
    ]
    assert watch.findings.hidden_chars == 6


def test_slides_in_order_with_notes(tmp_path: Path) -> None:
    body = """<draw:page><draw:frame><draw:text-box><text:p>第一课</text:p></draw:text-box></draw:frame>
      <draw:frame presentation:class="title"><draw:text-box><text:p>培训</text:p></draw:text-box></draw:frame>
      <presentation:notes><draw:frame presentation:class="notes"><draw:text-box><text:p>备注</text:p></draw:text-box></draw:frame>
      </presentation:notes></draw:page><draw:page draw:style-name="H"><draw:frame><draw:text-box><text:p>藏</text:p></draw:text-box>
      </draw:frame></draw:page>"""
    styles = _style("H", "drawing-page", '<style:drawing-page-properties presentation:visibility="hidden"/>')
    (document,) = read(odf(tmp_path / "a.odp", body, styles))
    assert document.page_content == "培训\n第一课\n备注"
    assert document.metadata == {"slide": 1, "heading": "培训"}


@pytest.mark.parametrize("suffix", KINDS)
def test_encrypted_damaged_and_hostile_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    assert refused(odf(path, "", manifest="<m><encryption-data/></m>")) == "encrypted"
    assert (
        refused(
            odf(path, "<text:p>&x;</text:p>", prolog="<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>")
        )
        == "xml_forbidden"
    )
    assert refused(odf(path, "<unclosed>")) == "parse_error"
    assert refused(odf(path, "<text:section>" * 3000 + "</text:section>" * 3000)) in (
        "parse_error",
        "no_text",
    )
    assert refused(odf(path, "")) == "no_text"
    with ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "x")
    assert refused(path) == "parse_error"
    path.write_bytes(b"no zip at all")
    assert refused(path) == "parse_error"


def test_a_bomb_of_repeated_cells(tmp_path: Path) -> None:
    row = '<table:table-row table:number-rows-repeated="1000000"><table:table-cell table:number-columns-repeated="1000">'
    body = f'<table:table table:name="a">{row}<text:p>x</text:p></table:table-cell></table:table-row></table:table>'
    assert refused(odf(tmp_path / "a.ods", body)) == "parse_limit"


def test_text_in_frames_follows_its_paragraph(tmp_path: Path) -> None:
    body = (
        "<text:p>前<draw:frame><draw:text-box><text:p>框内</text:p></draw:text-box></draw:frame>后</text:p>"
    )
    assert texts(odf(tmp_path / "a.odt", body)) == ["前后\n框内"]
