"""Which language a caller reads."""

import pytest

from server.core.i18n import Text, negotiate


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "zh"),
        ("", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("fr,en;q=0.5", "en"),
        ("fr", "zh"),
        ("*", "zh"),
        ("EN", "en"),
    ],
)
def test_negotiate(header: str | None, language: str) -> None:
    assert negotiate(header) == language


def test_text() -> None:
    text = Text("是", "yes")
    assert (text.in_language("zh"), text.in_language("en"), text.to_json()) == (
        "是",
        "yes",
        {"zh": "是", "en": "yes"},
    )
