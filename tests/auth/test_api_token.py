"""The api_token, version 1: what issuers make is read, everything else is refused without a fault."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from Crypto.Cipher import PKCS1_OAEP, PKCS1_v1_5
from hypothesis import given
from hypothesis import strategies as st

from server.auth.api_token import (
    PADDINGS,
    PKCS1V15,
    Form,
    Padding,
    TokenError,
    check_age,
    check_user_id,
    clean_username,
    make_token,
    new_key_pair,
    open_token,
    parse_timestamp,
    parse_token,
    public_pem,
)

KEY = new_key_pair()
OTHER = new_key_pair()
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


def _token(plain: str | bytes, *, client: str = "c1", raw: bool = False, key=KEY, cipher=PKCS1_OAEP) -> str:
    data = plain.encode() if isinstance(plain, str) else plain
    inner = cipher.new(key.public_key()).encrypt(data)
    return base64.b64encode(client.encode() + b"|" + (inner if raw else base64.b64encode(inner))).decode()


def _refused(token: str) -> str:
    with pytest.raises(TokenError) as caught:
        open_token(parse_token(token), KEY)
    return caught.value.reason


@pytest.mark.parametrize("padding", PADDINGS)
def test_every_padding_round_trips(padding: Padding) -> None:
    claims = open_token(parse_token(make_token("c1", "u1", "张三", NOW, KEY.public_key(), padding)), KEY)
    assert (claims.client_id, claims.user_id, claims.username, claims.issued_at, claims.padding) == (
        "c1",
        "u1",
        "张三",
        NOW,
        padding,
    )


@pytest.mark.parametrize("raw", [True, False])
def test_raw_and_base64_ciphertext(raw: bool) -> None:
    """The first form of the token has raw bytes behind the bar, and in two of three tokens another bar among them."""
    for number in range(20):
        claims = open_token(parse_token(_token(f"c1|u{number}|n|1700000000", raw=raw)), KEY)
        assert claims.user_id == f"u{number}"


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.replace("+", "-").replace("/", "_"),
        lambda t: t.rstrip("="),
        lambda t: "\r\n".join(t[i : i + 76] for i in range(0, len(t), 76)) + "\r\n",
        lambda t: t.replace("+", " "),
    ],
    ids=["url-safe", "no padding", "line breaks", "space for plus"],
)
def test_what_transport_does_to_base64_is_forgiven(change) -> None:
    token = _token("c1|u1|n|1700000000", raw=True)
    assert open_token(parse_token(change(token)), KEY).user_id == "u1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000000", datetime.fromtimestamp(1_700_000_000, UTC)),
        ("1700000000.123456", datetime.fromtimestamp(1_700_000_000.123456, UTC)),
        ("1700000000123", datetime.fromtimestamp(1_700_000_000.123, UTC)),
    ],
)
def test_timestamps(text: str, expected: datetime) -> None:
    assert parse_timestamp(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "inf",
        "-1",
        "0",
        "1e10",
        "1_700_000_000",
        "١٧٠٠٠٠٠٠٠٠",
        "17000000001234567",
        "2026-11-21",
        " 1700000000",
        "1700000000 ",
        "１７０００００００0",
        "1700000000.12345678",
    ],
)
def test_strange_timestamps_are_refused(text: str) -> None:
    assert _refused(_token(f"c1|u1|n|{text}")) == "timestamp"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "base64"),
        (" ", "base64"),
        ("null", "malformed"),
        ("undefined", "base64"),
        ("😀", "base64"),
        ("%%%", "base64"),
        (base64.b64encode(b"c1").decode(), "malformed"),
        (base64.b64encode(b"|").decode(), "malformed"),
        (base64.b64encode(b"|abc").decode(), "malformed"),
        (base64.b64encode(b"c1|").decode(), "malformed"),
        (base64.b64encode(b"c'1|abc").decode(), "malformed"),
        (base64.b64encode(b"c" * 33 + b"|abc").decode(), "malformed"),
        (base64.b64encode("ｃ1|abc".encode()).decode(), "malformed"),
        (base64.b64encode(b"c1|" + b"\0" * 255).decode(), "base64"),
        (base64.b64encode(b"c1|" + base64.b64encode(b"\0" * 255)).decode(), "length"),
        (base64.b64encode(b"c1|" + base64.b64encode(b"\0" * 257)).decode(), "length"),
        (base64.b64encode(b"c1|" + b"\0" * 256).decode(), "decrypt"),
        (base64.b64encode(b"c1|" + b"\xff" * 256).decode(), "decrypt"),
        ("A" * 2049, "too_long"),
        ("A" * 1_000_000, "too_long"),
        (_token("c1|u1|n|1700000000", key=OTHER), "decrypt"),
        (_token("c1|u1|n|1700000000", cipher=PKCS1_v1_5), "decrypt"),
        (_token("c2|u1|n|1700000000"), "client_mismatch"),
        (_token("c1|u1|1700000000"), "fields"),
        (_token("c1|u1|n|m|1700000000"), "fields"),
        (_token("c1"), "fields"),
        (_token(b"c1|u1|\xff\xfe|1700000000"), "utf8"),
        (_token("c1||n|1700000000"), "user_id"),
        (_token("c1| u1|n|1700000000"), "user_id"),
        (_token("c1|" + "u" * 65 + "|n|1700000000"), "user_id"),
        (_token("c1|u\u200b1|n|1700000000"), "user_id"),
        (_token("c1|u\n1|n|1700000000"), "user_id"),
        (_token("c1|key:ak_1|n|1700000000"), "user_id"),
        (_token("c1|u\u20281|n|1700000000"), "user_id"),
        (_token("c1|.|n|1700000000"), "user_id"),
        (_token("c1|..|n|1700000000"), "user_id"),
    ],
)
def test_bad_tokens_are_refused_with_their_reason(token: str, reason: str) -> None:
    assert _refused(token) == reason


@pytest.mark.parametrize(
    "user_id", ["key", "my key:1", "a:key:", "admin'--", "<script>", "张三", "a b", "u" * 64, "😀"]
)
def test_odd_but_legal_user_ids(user_id: str) -> None:
    assert check_user_id(user_id) == user_id


def test_a_name_is_for_display_only() -> None:
    assert clean_username("a\u202eb\x00c" + "x" * 100) == "abc" + "x" * 61
    assert open_token(parse_token(_token("c1|u1||1700000000")), KEY).username == ""


def test_age() -> None:
    claims = open_token(parse_token(make_token("c1", "u1", "n", NOW, KEY.public_key())), KEY)
    window, skew = timedelta(hours=8), timedelta(minutes=5)
    second = timedelta(seconds=1)
    for now in (NOW, NOW + window, NOW - skew):
        check_age(claims, now, max_age=window, max_skew=skew)
    for now, reason in ((NOW + window + second, "expired"), (NOW - skew - second, "future")):
        with pytest.raises(TokenError, match=reason):
            check_age(claims, now, max_age=window, max_skew=skew)


def test_a_token_that_does_not_fit_is_told_to_its_maker() -> None:
    with pytest.raises(TokenError, match="plaintext_too_long"):
        make_token("c1", "u1", "名" * 60, NOW, KEY.public_key())


def test_keys_have_the_form_that_issuers_read() -> None:
    assert public_pem(KEY).startswith("-----BEGIN PUBLIC KEY-----")
    assert KEY.size_in_bits() == 2048


GOOD = _token("c1|u1|张三|1700000000")


@given(position=st.integers(0, len(GOOD) * 6 - 1))
def test_a_flipped_bit_is_refused(position: int) -> None:
    data = bytearray(base64.b64decode(GOOD))
    data[position // 8 % len(data)] ^= 1 << position % 8
    with pytest.raises(TokenError):
        open_token(parse_token(base64.b64encode(bytes(data)).decode()), KEY)


def test_the_bits_left_over_count_too() -> None:
    """The last character of 256 bytes in base64 has four of them."""
    client, _, inner = base64.b64decode(GOOD).partition(b"|")
    assert inner.endswith(b"==")
    other = inner[:-3] + bytes([inner[-3] + 1]) + b"=="
    assert base64.b64decode(other) == base64.b64decode(inner)
    with pytest.raises(TokenError, match="base64"):
        open_token(parse_token(base64.b64encode(client + b"|" + other).decode()), KEY)


@given(length=st.integers(0, len(GOOD) - 8))
def test_a_cut_token_is_refused(length: int) -> None:
    with pytest.raises(TokenError):
        open_token(parse_token(GOOD[:length]), KEY)


@given(st.text(max_size=300))
def test_any_text_is_refused_without_a_fault(token: str) -> None:
    with pytest.raises(TokenError):
        open_token(parse_token(token), KEY)


class TestForms:
    """What a client may be allowed, for an issuer that cannot be changed."""

    LONG = "很长的名字" * 12

    def read(self, token: str, form: Form, padding: Padding = PADDINGS[0]) -> tuple[str, str]:
        claims = open_token(parse_token(token), KEY, [padding], form)
        return claims.user_id, claims.username

    def refused(self, token: str, form: Form) -> str:
        with pytest.raises(TokenError) as caught:
            self.read(token, form)
        return caught.value.reason

    @pytest.mark.parametrize("padding", [*PADDINGS, PKCS1V15])
    def test_blocks(self, padding: Padding) -> None:
        token = make_token("c1", "u1", self.LONG, NOW, KEY.public_key(), padding, Form(max_blocks=2))
        assert self.read(token, Form(max_blocks=2), padding) == ("u1", self.LONG)
        assert self.read(token, Form(max_blocks=4), padding) == ("u1", self.LONG)

    @pytest.mark.parametrize("raw", [True, False])
    @pytest.mark.parametrize("count", [1, 2, 3, 4])
    def test_as_many_as_are_allowed(self, raw: bool, count: int) -> None:
        """The base64 of three blocks is as long as four raw ones."""
        public = KEY.public_key()
        parts = [b"c1|u1|", b"A" * 20, b"B" * 20, b"|1700000000"]
        parts = [*parts[: count - 1], b"".join(parts[count - 1 :])]
        inner = b"".join(PKCS1_OAEP.new(public).encrypt(part) for part in parts)
        token = base64.b64encode(b"c1|" + (inner if raw else base64.b64encode(inner))).decode()
        form = Form(max_blocks=count)
        claims = open_token(parse_token(token), KEY, ["oaep-1/1"], form)
        assert (claims.user_id, claims.username) == ("u1", "A" * 20 + "B" * 20)
        for fewer in range(1, count):
            assert self.refused(token, Form(max_blocks=fewer)) in ("blocks", "base64")
        if not raw and count > 1:
            assert _refused(token) == "blocks", "off by default"

    def test_what_does_not_fit_and_what_is_no_block(self) -> None:
        with pytest.raises(TokenError, match="plaintext_too_long"):
            make_token("c1", "u1", self.LONG, NOW, KEY.public_key())
        for size in (255, 257, 511):
            token = base64.b64encode(b"c1|" + base64.b64encode(b"\1" * size)).decode()
            assert self.refused(token, Form(max_blocks=4)) == "length"

    def test_a_block_of_another_key(self) -> None:
        mine, other = (
            PKCS1_OAEP.new(key.public_key()).encrypt(text)
            for key, text in ((KEY, b"c1|u1|n|"), (OTHER, b"1700000000"))
        )
        token = base64.b64encode(b"c1|" + base64.b64encode(mine + other)).decode()
        with pytest.raises(TokenError, match="decrypt"):
            open_token(parse_token(token), KEY, PADDINGS, Form(max_blocks=2))

    @pytest.mark.parametrize(
        ("user", "name"),
        [("u1", "张|三"), ("50%", "100% + 1"), ("a%20b", ""), ("张三", "%7C"), ("a b", "x+y")],
    )
    def test_percent_encoding(self, user: str, name: str) -> None:
        token = make_token("c1", user, name, NOW, KEY.public_key(), form=Form(pct_fields=True))
        assert self.read(token, Form(pct_fields=True)) == (user, name)

    @pytest.mark.parametrize(
        ("plain", "reason"),
        [
            ("c1|a%2|n|1700000000", "percent"),
            ("c1|a|100%|1700000000", "percent"),
            ("c1|a%zz|n|1700000000", "percent"),
            ("c1|a|%ff|1700000000", "percent"),
            ("c1|victim%7Cx|n|1700000000", "user_id"),
            ("c1|a%00|n|1700000000", "user_id"),
            ("c1|key%3Aboss|n|1700000000", "user_id"),
            ("c1|a%20|n|1700000000", "user_id"),
            ("c1|a|b|n|1700000000", "fields"),
        ],
    )
    def test_percent_encoding_gone_wrong(self, plain: str, reason: str) -> None:
        token = base64.b64encode(b"c1|" + PKCS1_OAEP.new(KEY.public_key()).encrypt(plain.encode())).decode()
        with pytest.raises(TokenError, match=reason):
            open_token(parse_token(token), KEY, PADDINGS, Form(pct_fields=True))

    def test_off_by_default(self) -> None:
        token = make_token("c1", "a%20b", "%E5", NOW, KEY.public_key())
        assert self.read(token, Form()) == ("a%20b", "%E5")
