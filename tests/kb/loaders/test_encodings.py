"""Every encoding × text × length: the text as it was written, or a refusal. Never other characters in its place."""

import pytest

from server.kb.loaders.base import LoadError
from server.kb.loaders.encoding import decode

SIMPLIFIED = "员工每年享有带薪年休假十五天，须提前三个工作日申请，经部门主管批准后生效。未休完的假期可以结转到下一年第一季度，逾期作废。"
TRADITIONAL = "員工每年享有帶薪年休假十五天，須提前三個工作日申請，經部門主管批准後生效。未休完的假期可以結轉到下一年第一季度，逾期作廢。"
JAPANESE = "従業員は毎年十五日の有給休暇を取得できます。申請は三日前までに、部門の責任者へお願いします。残った休暇は翌年に繰り越せます。"
MIXED = "Annual leave 年假：15 天（含周末）。Contact HR, ext. 6010，或发邮件到 hr@example.com 咨询。Version 2.0 于 2026-01-01 生效。"
FRENCH = "Les employés ont droit à quinze jours de congés payés, où que ce soit, même l'été; la demande doit être déposée à l'avance, voilà."
GERMAN = "Die Beschäftigten haben Anspruch auf fünfzehn Tage bezahlten Urlaub; für längere Abwesenheit müssen Anträge früh gestellt werden."
ENGLISH = "Employees are entitled to fifteen days of paid leave a year. Requests are due three days ahead.\r\nUnused days expire."

UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32")
TEXTS = {
    "simplified": (SIMPLIFIED, ("gb18030", "gbk", "gb2312")),
    "traditional": (TRADITIONAL, ("big5", "gb18030")),
    "japanese": (JAPANESE, ("shift_jis", "euc_jp")),
    "mixed": (MIXED, ("gb18030",)),
    "french": (FRENCH, ("latin-1", "cp1252")),
    "german": (GERMAN, ("latin-1", "cp1252")),
    "english": (ENGLISH, ("ascii", "cp1252", "gb18030", "shift_jis")),
}
# From a title to a document. Long ones must be read; of short ones a refusal is honest, too.
LENGTHS = (2, 4, 8, 16, 40, 60, 400, 20_000)
CASES = [
    (name, encoding, length)
    for name, (_, encodings) in TEXTS.items()
    for encoding in (*UNICODE, *encodings)
    for length in LENGTHS
    if not (length < 8 and encoding in ("shift_jis", "euc_jp") and name == "japanese")
]
# What may be refused: 32 bytes of Latin letters tell nothing of their code page, and a few characters not their order.
# Japanese of less than eight characters may look like Chinese, byte by byte.
_TOLD_FROM = {
    "latin-1": 60,
    "cp1252": 60,
    "utf-16-le": 16,
    "utf-16-be": 16,
    "shift_jis": 16,
    "euc_jp": 16,
    "big5": 16,
}


def _cut(text: str, length: int) -> str:
    return (text * (length // len(text) + 1))[:length]


def _decoded(text: str, encoding: str) -> str | None:
    """None when it is refused."""
    try:
        return decode(text.encode(encoding))
    except LoadError as error:
        return None if error.code == "encoding" else error.code


@pytest.mark.parametrize(("name", "encoding", "length"), CASES)
def test_matrix(name: str, encoding: str, length: int) -> None:
    text = _cut(TEXTS[name][0], length)
    found = _decoded(text, encoding)
    assert found == text or (found is None and length < _TOLD_FROM.get(encoding, 0))


@pytest.mark.parametrize("start", range(0, 56, 4))
@pytest.mark.parametrize("length", [2, 3, 4, 6])
@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("simplified", "gb18030"),
        ("traditional", "big5"),
        ("simplified", "utf-16-le"),
        ("traditional", "utf-16-be"),
    ],
)
def test_a_few_characters_from_anywhere(start: int, length: int, name: str, encoding: str) -> None:
    """Titles and names: what is not refused is right."""
    if encoding.startswith("utf-16") and length < 4:
        pytest.skip("four characters are the least")
    text = TEXTS[name][0][start : start + length]
    assert _decoded(text, encoding) in (text, None)


@pytest.mark.parametrize("start", range(0, 54, 3))
@pytest.mark.parametrize(
    ("encoding", "length"), [("shift_jis", 3), ("shift_jis", 5), ("euc_jp", 4), ("euc_jp", 5)]
)
def test_a_few_japanese_characters(start: int, encoding: str, length: int) -> None:
    text = JAPANESE[start : start + length]
    assert _decoded(text, encoding) in (text, None)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("カタカナ", "shift_jis", "カタカナ"),
        ("はじめに", "euc_jp", None),  # to Big5, 反元戶卞
        ("目录", "gb18030", None),  # to UTF-8, Ŀ¼
        ("通知", "gb18030", None),
        ("été", "utf-8", "été"),
        ("年享", "utf-16-le", None),  # to GB18030, t^俏
        ("eave", "utf-16-be", "eave"),
        ("今天", "big5", None),
        ("年假", "big5", "年假"),
    ],
)
def test_a_word_alone(text: str, encoding: str, expected: str | None) -> None:
    """Whole files of a word or two: better refused than taken for another."""
    assert _decoded(text, encoding) == expected
