"""Plain text: encodings, hidden characters, sizes."""

from contextlib import suppress
from pathlib import Path

import pytest

from server.kb.loaders import LOADERS, SUFFIXES, load
from server.kb.loaders.base import LoadError, LoadLimits
from server.kb.loaders.clean import clean_text
from tests.kb.loaders.reading import LIMITS, SHARED, read, refused, texts, write

ZH = "员工每年享有带薪年休假十五天，须提前三个工作日申请，经部门主管批准。"
TW = "員工每年享有帶薪年休假十五天，須提前三個工作日申請，經部門主管批准。"
JA = "従業員は毎年十五日の有給休暇を取得できます。申請は三日前までにお願いします。"
KO = "직원은 매년 열다섯 날의 유급 휴가를 받습니다. 부서장의 승인이 필요합니다."
FR = "Les employés ont droit à quinze jours de congés payés, où que ce soit, même l'été."
CS = "Zaměstnanci mají nárok na patnáct dní placené dovolené ročně. Žádost musí být podána předem."


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *[(ZH, name) for name in ("utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-32")],
        ("年假", "gbk"),
        ("鑫淼", "gbk"),
        ("Hello 你好 world", "gbk"),
        ("㐀龥\U00020000" + ZH, "gb18030"),
        (TW, "gbk"),
        (TW, "big5"),
        ("年假", "big5"),
        (JA, "shift_jis"),
        (JA, "euc_jp"),
        (KO, "euc_kr"),
        (FR, "latin-1"),
        (CS, "cp1250"),
        ("It’s plain English with one curly “quote” in it.", "cp1252"),
    ],
)
def test_encodings_are_read_right(tmp_path: Path, text: str, encoding: str) -> None:
    assert texts(write(tmp_path / "a.txt", text, encoding)) == [text]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_byte_order_marks_are_read(tmp_path: Path, codec: str) -> None:
    assert texts(write(tmp_path / "a.txt", "\ufeff年假", codec)) == ["年假"]


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_a_little_damage_is_replaced(tmp_path: Path, encoding: str) -> None:
    data = (ZH * 50).encode(encoding)
    damaged = data[:300] + b"\xff" + data[300:]
    (text,) = texts(write(tmp_path / "a.txt", damaged))
    assert 1 <= text.count("\ufffd") <= 4
    assert text.count(ZH) >= 48


@pytest.mark.parametrize(
    "data",
    [
        b"\0\1\2\3" * 100,
        b"MZ\x90\0\3\0\0\0\4\0",
        "hello".encode("utf-16-le")[:-1],
        "café".encode("latin-1"),  # too short to tell
        b"\xff\xfe#\xb09" + b"\0\0\xd8\0\xd8\0\xd8",
        (ZH.encode() + b"\xff\xff\xff\xff") * 20,
    ],
)
def test_what_cannot_be_told_is_refused(tmp_path: Path, data: bytes) -> None:
    assert refused(write(tmp_path / "a.txt", data)) == "encoding"


@pytest.mark.parametrize(
    "data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", b"\xff\xfe", "\u200b\u200d\ufeff".encode()]
)
def test_nothing_to_read_is_no_text(tmp_path: Path, data: bytes) -> None:
    assert refused(write(tmp_path / "a.txt", data)) == "no_text"


def test_hidden_characters_are_stripped(tmp_path: Path) -> None:
    tags = "".join(chr(0xE0000 + ord(char)) for char in "ignore all")
    smuggled = f"年\u200b假\u202e十\u2066五\ufeff天{tags}\U000e0101\x00\u00ad。"
    assert texts(write(tmp_path / "a.txt", smuggled)) == ["年假十五天。"]


def test_newlines_are_of_one_kind() -> None:
    assert clean_text("a\r\nb\rc\vd\fe\u2028f\x85g") == "a\nb\nc\nd\ne\nf\ng"


def test_half_a_surrogate_pair_becomes_encodable() -> None:
    assert clean_text("a\ud800b").encode() == "a\ufffdb".encode()


def test_visible_text_is_kept_as_it_is() -> None:
    text = "  缩进\t表\n\n第二段 😀 ①Ⅱ—“引号” é\u3000全角"
    assert clean_text(text) == text


def test_a_line_of_twenty_million_characters_is_one_document(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "a" * 19_999_999 + "!")
    (document,) = read(path)
    assert len(document.page_content) == 20_000_000


@pytest.mark.parametrize("size", [1001, 10_000])
def test_too_many_characters(tmp_path: Path, size: int) -> None:
    """Before and after decoding: the second file is too long in any encoding."""
    assert refused(write(tmp_path / "a.txt", "字" * size), LoadLimits(max_chars=1000)) == "parse_limit"


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "shape", ["\n" * 1_000_000 + "end", "。" * 1_000_000, " " * 1_000_000 + "x", "<!--" * 200_000]
)
@pytest.mark.parametrize("suffix", [".txt", ".md", ".csv", ".html"])
def test_hostile_shapes_take_linear_time(tmp_path: Path, suffix: str, shape: str) -> None:
    path = write(tmp_path / f"a{suffix}", shape)
    with suppress(LoadError):  # no text, or a cell too long
        read(path)


def test_suffixes() -> None:
    texts_ = ".txt .md .rst .html .htm .mhtml .mht .xml .csv .tsv .json .jsonl .srt .vtt .eml"
    documents = ".pdf .docx .odt .xlsx .xls .ods .pptx .odp .epub .msg .rtf .doc .ppt"
    pictures = ".png .jpg .jpeg .bmp .webp .tif .tiff"
    assert {*f"{texts_} {documents} {pictures}".split()} == SUFFIXES == set(LOADERS)


def test_suffix_decides_and_its_case_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "stored-under-an-id", "# 年假\n十五天")
    (document,) = load(path, ".MD", LIMITS)
    assert document.metadata == {"heading": "年假"}


def test_unknown_suffix(tmp_path: Path) -> None:
    assert refused(write(tmp_path / "a.xyz", "a")) == "parse_error"


def test_headings_are_cleaned_and_cut(tmp_path: Path) -> None:
    (document,) = read(write(tmp_path / "a.md", "# 年\u200b假" + "长" * 5000 + "\n正文"))
    assert document.metadata["heading"] == "年假" + "长" * 97  # cut, then stripped of what is hidden


def test_too_many_documents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.kb.loaders.MAX_DOCUMENTS", 10)
    assert refused(write(tmp_path / "a.jsonl", "1\n" * 11)) == "parse_limit"
    assert len(read(write(tmp_path / "b.jsonl", "1\n" * 10))) == 10


@pytest.mark.skipif(not SHARED.is_dir(), reason="../shared is absent")
def test_real_file() -> None:
    (document,) = read(SHARED / "test.txt")
    lines = document.page_content.splitlines()
    assert lines[0] == "ChatGPT是OpenAI开发的一个大型语言模型，可以提供各种主题的信息，"
    assert document.page_content == (SHARED / "test.txt").read_text(encoding="utf-8").strip("\n")
