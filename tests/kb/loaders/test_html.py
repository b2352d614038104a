"""Web pages: what is seen, in order; nothing hidden, run or fetched."""

from pathlib import Path

import pytest

from tests.kb.loaders.reading import pairs, refused, texts, write


def _page(body: str, head: str = "") -> str:
    return f"<!DOCTYPE html><html><head>{head}</head><body>{body}</body></html>"


def test_sections_lists_and_inline_text(tmp_path: Path) -> None:
    body = """<h1>员工手册</h1><p>总则，<b>全员</b>
      适用。<br>第二行</p><h2>年 <i>假</i></h2><ul><li>十五天</li><li>提前<a href="javascript:x()">申请</a></li></ul>
      <h2>附录</h2><pre>a
  b</pre>"""
    assert pairs(write(tmp_path / "a.html", _page(body, "<title>标题</title>"))) == [
        ("员工手册", "员工手册\n总则，全员 适用。\n第二行"),
        ("员工手册 > 年 假", "年 假\n十五天\n提前申请"),
        ("员工手册 > 附录", "附录\na\n  b"),
    ]


def test_title_names_a_page_without_headings(tmp_path: Path) -> None:
    page = _page("<p>十五天</p>", "<title>年假</title>")
    assert pairs(write(tmp_path / "a.htm", page)) == [("年假", "年假\n十五天")]


@pytest.mark.parametrize(
    "hidden",
    [
        "<script>密</script>",
        "<style>密</style>",
        "<nav>密</nav>",
        "<noscript>密</noscript>",
        "<template>密</template>",
        "<iframe src='http://127.0.0.1:9/'>密</iframe>",
        "<p hidden>密</p>",
        "<p aria-hidden='true'>密</p>",
        "<div style='color:red; Display : none'><p>密</p></div>",
        "<span style='visibility:hidden'>密</span>",
        "<span style='font-size:0px'>密</span>",
        "<!-- 密 -->",
        "<h2 hidden>密</h2>",
        "<svg><text>密</text></svg>",
        "<table><tr><td>甲<span hidden>密</span></td></tr><tr hidden><td>密</td></tr></table>",
    ],
)
def test_unseen_text_is_dropped(tmp_path: Path, hidden: str) -> None:
    (text,) = texts(write(tmp_path / "a.html", _page(f"<p>前</p>{hidden}<p style='font-size:0.9em'>后</p>")))
    assert "密" not in text
    assert text.startswith("前")
    assert text.endswith("后")


def test_table_rows_carry_their_header(tmp_path: Path) -> None:
    body = """<p>前</p><table><thead><tr><th>姓名</th><th>部门</th><th colspan=2>电话</th></tr></thead>
      <tr><td>张三</td><td rowspan=2>研发<br>一部</td><td>1</td><td>2</td></tr><tr><td>李四</td><td>3</td></tr>
      <tr><td></td></tr></table><p>后</p>"""
    assert texts(write(tmp_path / "a.html", _page(body))) == [
        "前\n姓名: 张三; 部门: 研发 一部; 电话: 1; 电话: 2\n姓名: 李四; 部门: 研发 一部; 电话: 3\n后"
    ]


def test_layout_tables_are_read_as_text(tmp_path: Path) -> None:
    body = "<table><tr><td><h1>甲</h1>文</td><td><table><tr><td>一</td></tr><tr><td>二</td></tr></table></td></tr></table>"
    assert pairs(write(tmp_path / "a.html", _page(body))) == [("甲", "甲\n文\n一: 二")]


@pytest.mark.parametrize("charset", ["gb2312", "GBK", "big5", "utf-8", "shift_jis", "iso-8859-1"])
def test_declared_charset(tmp_path: Path, charset: str) -> None:
    text = {"big5": "員工年假", "shift_jis": "有給休暇の申請", "iso-8859-1": "déjà vu, café"}.get(
        charset, "员工年假"
    )
    page = _page(f"<p>{text}</p>", f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">')
    assert texts(write(tmp_path / "a.html", page, charset)) == [text]


def test_declared_charset_decides_what_either_could_be(tmp_path: Path) -> None:
    """The GBK bytes of 一 are valid UTF-8 as well: for a Cyrillic letter."""
    page = write(tmp_path / "a.html", '<meta charset="gbk"><p>一</p>', "gbk")
    assert texts(page) == ["一"]


def test_wrongly_declared_charset_does_not_matter(tmp_path: Path) -> None:
    page = _page("<p>员工每年享有带薪年休假。</p>", '<meta charset="iso-8859-1">')
    assert texts(write(tmp_path / "a.html", page)) == ["员工每年享有带薪年休假。"]


def test_nesting_deeper_than_python_calls(tmp_path: Path) -> None:
    deep = "<div>" * 20_000 + "底" + "</div>" * 20_000
    assert "底" in "".join(texts(write(tmp_path / "a.html", _page("<p>面</p>" + deep + "<p>底</p>"))))


def test_page_of_scripts_only(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "a.html", _page("<script>app()</script>"))) == "no_text"
