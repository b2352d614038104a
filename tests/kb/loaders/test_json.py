"""JSON and JSON lines."""

import json
import tracemalloc
from pathlib import Path

import pytest

from server.kb.loaders.base import LoadError, LoadLimits
from tests.kb.loaders.reading import LIMITS, SHARED, pairs, read, refused, texts, write


def test_list_gives_a_record_per_item(tmp_path: Path) -> None:
    value = [
        {
            "书名": "活着",
            "作者": {"姓名": "余华", "作品": [{"年": 1993}, {"年": 2005}]},
            "标签": ["小说", "当代"],
        },
        "散文",
        None,
    ]
    first, second = read(write(tmp_path / "a.json", json.dumps(value)))
    assert first.page_content == (
        "书名: 活着\n作者.姓名: 余华\n作者.作品[1].年: 1993\n作者.作品[2].年: 2005\n标签: 小说、当代"
    )
    assert first.metadata == {"row": 1, "atomic": True}
    assert second.page_content == "散文"
    assert second.metadata["row"] == 2


def test_object_gives_a_record_per_member(tmp_path: Path) -> None:
    value = {"公司": "甲", "年": 2026, "员工": [{"姓名": "张三"}, {"姓名": "李四"}], "地址": {"城市": "北京"}}
    assert pairs(write(tmp_path / "a.json", json.dumps(value, ensure_ascii=False))) == [
        (None, "公司: 甲\n年: 2026"),
        ("员工", "姓名: 张三"),
        ("员工", "姓名: 李四"),
        ("地址", "地址.城市: 北京"),
    ]


def test_values_as_they_are_written(tmp_path: Path) -> None:
    source = (
        '[{"a": 1.50, "b": 1e400, "c": NaN, "d": true, "e": null, "f": "x", "f": "y", "g": '
        + "9" * 5000
        + "}]"
    )
    assert texts(write(tmp_path / "a.json", source)) == [
        "a: 1.50\nb: 1e400\nc: nan\nd: true\nf: x\nf: y\ng: " + "9" * 5000
    ]


@pytest.mark.parametrize("encoding", ["gbk", "utf-16", "utf-8-sig"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    assert texts(write(tmp_path / "a.json", '[{"姓名": "张三"}]', encoding)) == ["姓名: 张三"]
    assert texts(write(tmp_path / "a.jsonl", '{"姓名": "张三"}\r\n', encoding)) == ["姓名: 张三"]


@pytest.mark.parametrize("depth", [101, 100_000])
def test_deep_nesting(tmp_path: Path, depth: int) -> None:
    """Too deep to render, and too deep even to parse."""
    source = '{"a":' * depth + "1" + "}" * depth
    assert refused(write(tmp_path / "a.json", source)) == "parse_limit"
    assert refused(write(tmp_path / "a.jsonl", source)) == "parse_limit"


def test_nesting_within_reason(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.json", "[" * 50 + "1" + "]" * 50)) == ["[1]" * 48 + ": 1"]


def test_long_keys_do_not_multiply(tmp_path: Path) -> None:
    """Each line repeats its path: a megabyte of file could become gigabytes of text."""
    source = '[{"' + "k" * 500_000 + '": {' + ",".join(f'"{i}": 1' for i in range(1000)) + "}}]"
    path = write(tmp_path / "a.json", source)
    tracemalloc.start()
    assert refused(path) == "parse_limit"
    assert tracemalloc.get_traced_memory()[1] < 100_000_000
    tracemalloc.stop()


def test_one_long_string(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.json", json.dumps(["长" * 1_000_000]))) == ["长" * 1_000_000]


def test_control_characters_and_escapes(tmp_path: Path) -> None:
    source = '["\\u0000\\ud800年\\u200b假\t"]'
    assert texts(write(tmp_path / "a.json", source)) == ["\ufffd年假\t"]


@pytest.mark.parametrize("source", ['{"a": 1', "[1,]", "hello", "{'a': 1}"])
def test_what_is_no_json(tmp_path: Path, source: str) -> None:
    assert refused(write(tmp_path / "a.json", source)) == "parse_error"


def test_bad_line_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", '{"a": 1}\n\n{"b": "line\u2028separator"}\n{"c": \n')
    with pytest.raises(LoadError) as caught:
        read(path)
    assert caught.value.code == "parse_error"
    assert "第 4 行" in caught.value.zh
    assert "Line 4" in caught.value.en


def test_lines_have_their_numbers(tmp_path: Path) -> None:
    assert pairs(write(tmp_path / "a.jsonl", '{"a": 1}\n\n{"b": 2}\n'), "row") == [(1, "a: 1"), (3, "b: 2")]


def test_no_values_is_no_text(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "a.json", '[null, {}, ""]')) == "no_text"


def test_too_many_characters(tmp_path: Path) -> None:
    assert (
        refused(write(tmp_path / "a.json", json.dumps(["x" * 600] * 2)), LoadLimits(max_chars=1000))
        == "parse_limit"
    )


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
def test_real_file() -> None:
    documents = read(SHARED / "langchain-ChatGLM_closed.jsonl", LIMITS)
    assert len(documents) == 172
    assert documents[1].page_content.startswith(
        "title: 当前的运行环境是什么，windows还是Linux\nfile: 2023-04-01.0003"
    )
