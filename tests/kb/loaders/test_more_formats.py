"""XML, reStructuredText, subtitles, web archives, e-books: by hand."""

from pathlib import Path
from zipfile import ZipFile

import pytest

from server.kb.loaders import load
from server.kb.loaders.base import LoadLimits, Watch
from tests.kb.loaders.reading import pairs, read, refused, texts, write


class TestXML:
    def test_data_is_records_with_their_paths(self, tmp_path: Path) -> None:
        data = "<设备 年='2026'><台 id='1'><名称>打印机</名称><价 币='元'>3</价></台><台 id='2'><名称>投影仪</名称></台></设备>"
        assert [(d.page_content, d.metadata) for d in read(write(tmp_path / "a.xml", data))] == [
            ("年: 2026", {"atomic": True}),
            ("id: 1\n名称: 打印机\n价.币: 元\n价: 3", {"row": 1, "heading": "台", "atomic": True}),
            ("id: 2\n名称: 投影仪", {"row": 2, "heading": "台", "atomic": True}),
        ]

    def test_documents_are_sections(self, tmp_path: Path) -> None:
        data = (
            "<a><title>手册</title><s><title>年假</title><p>员工<b>每年</b>十五天。</p><p>第二段</p></s></a>"
        )
        assert pairs(write(tmp_path / "a.xml", data)) == [("手册 > 年假", "年假\n员工每年十五天。\n第二段")]

    @pytest.mark.parametrize("encoding", ["gb2312", "gbk", "big5", "utf-16", "utf-8"])
    def test_declared_encodings(self, tmp_path: Path, encoding: str) -> None:
        data = f'<?xml version="1.0" encoding="{encoding}"?><a><b>年假十五天</b></a>'
        assert texts(write(tmp_path / "a.xml", data, encoding)) == ["b: 年假十五天"]

    @pytest.mark.parametrize(
        "prolog",
        [
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;&x;">]>',
            '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x"> %x;]>',
        ],
    )
    def test_entities_are_refused(self, tmp_path: Path, prolog: str) -> None:
        assert refused(write(tmp_path / "a.xml", f"{prolog}<a>&x;</a>")) == "xml_forbidden"

    def test_a_document_type_alone_is_none_of_our_business(self, tmp_path: Path) -> None:
        data = '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><a><b>年假</b></a>'
        assert texts(write(tmp_path / "a.xml", data)) == ["b: 年假"]

    @pytest.mark.parametrize("data", ["<a>", "no xml", "<a>" * 100_000])
    def test_damage(self, tmp_path: Path, data: str) -> None:
        assert refused(write(tmp_path / "a.xml", data)) == "parse_error"

    @pytest.mark.parametrize("inner", ["x", "x<b/>y"])
    def test_depth(self, tmp_path: Path, inner: str) -> None:
        assert refused(write(tmp_path / "a.xml", "<a>" * 200 + inner + "</a>" * 200)) == "parse_limit"


class TestRst:
    def test_sections_lists_tables_and_code(self, tmp_path: Path) -> None:
        text = "手册\n====\n\n前言。\n\n.. 注释\n\n年假\n----\n\n- 第一条\n- 第二条\n\n====  ====\n姓名  部门\n====  ====\n"
        text += "张三  研发\n====  ====\n\n::\n\n  a  b\n"
        assert pairs(write(tmp_path / "a.rst", text)) == [
            ("手册", "手册\n前言。"),
            ("手册 > 年假", "年假\n第一条\n第二条\n姓名: 张三; 部门: 研发\na  b"),
        ]

    @pytest.mark.parametrize(
        "directive",
        [
            "include:: /etc/passwd",
            "raw:: html\n   :file: /etc/passwd",
            "csv-table::\n   :file: /etc/passwd",
            "literalinclude:: /etc/passwd",
        ],
    )
    def test_nothing_is_included(self, tmp_path: Path, directive: str) -> None:
        (text,) = texts(write(tmp_path / "a.rst", f"正文\n\n.. {directive}\n"))
        assert "root:" not in text

    def test_broken_markup_is_text(self, tmp_path: Path) -> None:
        assert "正文" in texts(write(tmp_path / "a.rst", "正文 *没有结尾 `x\n==\n|a| [1]_ x_\n"))[0]


class TestSubtitles:
    def test_cues_that_follow_each_other_are_one(self, tmp_path: Path) -> None:
        text = "1\n00:00:01,000 --> 00:00:04,000\n<i>员工每年</i>享有\n\n2\n00:00:04,500 --> 00:00:06,000\n{\\an8}十五天年假。\n\n"
        text += "3\n01:02:30,000 --> 01:02:31,000\n下一节\n"
        assert pairs(write(tmp_path / "a.srt", text), "time") == [
            ("00:00:01–00:00:06", "员工每年享有\n十五天年假。"),
            ("01:02:30–01:02:31", "下一节"),
        ]

    def test_long_talk_is_cut_where_a_sentence_ends(self, tmp_path: Path) -> None:
        cues = [
            f"{n}\n00:{n:02}:00,0 --> 00:{n:02}:59,0\n{'话' * 60}{'。' if n % 4 == 3 else ''}\n"
            for n in range(12)
        ]
        found = pairs(write(tmp_path / "a.srt", "\n".join(cues), "gbk"), "time")
        assert [time for time, _ in found] == ["00:00:00–00:03:59", "00:04:00–00:07:59", "00:08:00–00:11:59"]

    def test_web_subtitles_with_voices_and_notes(self, tmp_path: Path) -> None:
        text = "WEBVTT - title\n\nNOTE 说明\n\nSTYLE\n::cue {}\n\nid\n00:01.000 --> 00:04.000 align:start\n<v 张三>年假 &amp; 病假</v>\n"
        assert pairs(write(tmp_path / "a.vtt", text), "time") == [("00:00:01–00:00:04", "张三: 年假 & 病假")]

    @pytest.mark.parametrize("text", ["no cues", "WEBVTT\n", "00:00 --> x"])
    def test_no_cues(self, tmp_path: Path, text: str) -> None:
        assert refused(write(tmp_path / "a.vtt", text)) == "parse_error"


MHTML = """From: <Saved by Blink>
Subject: =?utf-8?Q?=E5=B9=B4=E5=81=87?=
MIME-Version: 1.0
Content-Type: multipart/related; type="text/html"; boundary="XX"

--XX
Content-Type: text/html
Content-Transfer-Encoding: quoted-printable

<html><head><meta charset=3D"utf-8"></head><body><h1>=E5=B9=B4=E5=81=87</h1><p>=E5=8D=81=E4=BA=94=E5=A4=A9<span style=3D"display:none">x</span></p>=
<script>1</script></body></html>
--XX
Content-Type: text/css

p {}
--XX--
"""


class TestWebArchive:
    @pytest.mark.parametrize("suffix", [".mhtml", ".mht"])
    def test_the_page_is_read(self, tmp_path: Path, suffix: str) -> None:
        assert pairs(write(tmp_path / f"a{suffix}", MHTML)) == [("年假", "年假\n十五天")]

    def test_without_a_page(self, tmp_path: Path) -> None:
        assert refused(write(tmp_path / "a.mht", "Content-Type: text/css\n\np {}\n")) == "parse_error"


CONTAINER = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="O/p.opf"/></rootfiles></container>'
PACKAGE = """<package xmlns="http://www.idpf.org/2007/opf"><manifest>
<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="b" href="../T/%E4%BA%8C.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/><item id="c" href="missing.xhtml" media-type="application/xhtml+xml"/>
</manifest><spine><itemref idref="n"/><itemref idref="a"/><itemref idref="b"/><itemref idref="c"/><itemref idref="a"/></spine></package>"""


def _book(path: Path, **more: str) -> Path:
    page = '<?xml version="1.0" encoding="utf-8"?><!DOCTYPE html><html xmlns="http://www.w3.org/1999/xhtml"><body>{}</body></html>'
    with ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", more.get("container", CONTAINER))
        archive.writestr("O/p.opf", more.get("package", PACKAGE))
        archive.writestr("O/nav.xhtml", page.format("<h1>目录</h1>"))
        archive.writestr("O/a.xhtml", page.format("<h1>手册</h1><p>前言</p>"))
        archive.writestr("T/二.xhtml", page.format('<h2>年假</h2><p hidden="">藏</p><p>十五天</p>'))
        if "encryption" in more:
            archive.writestr("META-INF/encryption.xml", more["encryption"])
    return path


class TestBooks:
    def test_chapters_in_the_order_of_the_spine(self, tmp_path: Path) -> None:
        watch = Watch()
        found = list(load(_book(tmp_path / "a.epub"), ".epub", LoadLimits(), watch))
        assert [(d.metadata["heading"], d.page_content) for d in found] == [
            ("手册", "手册\n前言"),
            ("手册 > 年假", "年假\n十五天"),
        ]
        assert watch.findings.hidden_chars == 1

    def test_damage_locks_and_entities(self, tmp_path: Path) -> None:
        path = tmp_path / "a.epub"
        assert refused(_book(path, container="<container/>")) == "parse_error"
        assert refused(_book(path, package="<package")) == "parse_error"
        assert (
            refused(_book(path, package="<!DOCTYPE a [<!ENTITY x 'y'>]><package>&x;</package>"))
            == "xml_forbidden"
        )
        lock = '<e xmlns="http://www.w3.org/2001/04/xmlenc#"><EncryptionMethod Algorithm="{}"/></e>'
        assert refused(_book(path, encryption=lock.format("http://ns.adobe.com/adept"))) == "encrypted"
        assert len(read(_book(path, encryption=lock.format("http://www.idpf.org/2008/embedding")))) == 2

    def test_a_bomb(self, tmp_path: Path) -> None:
        with ZipFile(tmp_path / "a.epub", "w", 8) as archive:
            archive.writestr("mimetype", "application/epub+zip")
            archive.writestr("big.xhtml", b" " * 2_000_000)
        assert refused(tmp_path / "a.epub", LoadLimits(max_unpacked_size=1_000_000)) == "archive_limit"
