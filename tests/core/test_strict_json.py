"""JSON as it is meant."""

import pytest

from server.core.strict_json import StrictJSONError, loads


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN}',
        b'{"a": [Infinity]}',
        b'{"a": -Infinity}',
        b'{"a": 1e400}',
        b"[-1e999]",
        b"1" + b"0" * 400 + b".0",
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b'{"a": "\\ud800"}',
        b'{"\\udfff": 1}',
        b"[" * 100_000,
        b'{"a": 1,}',
        b"{'a': 1}",
        b"\xff\xfe{\x00}\x00",
        b"",
        b"9" * 5000,
        b'{"a": "x\\u0000y"}',
        b'{"\\u0000": 1}',
        b'["\\\\\\u0000"]',
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(StrictJSONError):
        loads(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        ('{"a": "年假 😀", "b": [1, 2.5, null, true]}'.encode(), {"a": "年假 😀", "b": [1, 2.5, None, True]}),
        (b"[1e308, -0.0, 1e-400]", [1e308, 0.0, 0.0]),
        (b'"text"', "text"),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
        (b'{"a": {"b": 1}, "c": {"b": 2}}', {"a": {"b": 1}, "c": {"b": 2}}),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\u0000"', "\\u0000"),
    ],
)
def test_accepted(body: bytes, value: object) -> None:
    assert loads(body) == value
