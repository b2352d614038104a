"""What people get wrong about tokens, in words for whoever makes them. Pure: no database, no HTTP."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeGuard

from server.auth import signed_token
from server.auth.api_token import (
    CLIENT_ID,
    KID,
    USER_ID_RULE,
    SealedToken,
    TokenError,
    check_user_id,
    decode_base64,
)
from server.core.i18n import Text

_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/_=\s-]")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_HEADER = re.compile(r"(authorization|api[-_]token|x-api-key)\s*:|bearer\s|basic\s", re.IGNORECASE)
_QUOTES = "\"'`“”‘’「」"
# Claims of a signed token, what each must be, and what issuers write instead.
_CLAIMS = ("iss", "aud", "sub", "iat", "exp", "jti")
_MEANT = {
    "username": "name",
    "user_name": "name",
    "user_id": "sub",
    "userid": "sub",
    "client_id": "iss",
    "timestamp": "iat",
}
_SIGNATURE_BYTES = {"EdDSA": 64, "ES256": 64, "RS256": 256, "PS256": 256}


class Mistake(TokenError):
    """A refusal that says more than its reason."""

    def __init__(self, reason: str, text: Text) -> None:
        super().__init__(reason)
        self.text = text


def explain(error: TokenError) -> Text:
    if isinstance(error, Mistake):
        return error.text
    return EXPLANATIONS.get(error.reason, Text(error.reason, error.reason))


def find_wrapping(text: str) -> Text | None:
    """What is given instead of a token: another credential, or a token with something around it."""
    for prefix, words in _OTHERS.items():
        if text.startswith(prefix):
            return words
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return Text("首尾有引号：去掉引号再发", "has quotes around it: send it without them")
    if header := _HEADER.match(text):
        return Text(
            f"开头的 {header[0].strip()} 不属于 token：只要后面的部分",
            f"{header[0].strip()} at its beginning is not part of the token",
        )
    if escape := _ESCAPE.search(text):
        return Text(
            f"还是百分号编码的（{escape[0]}）：读出网址里的值后先解码一次",
            f"is still percent-encoded ({escape[0]}): decode what stands in an address once",
        )
    if text.startswith("eyJ") and not signed_token.is_signed(text):
        parts = text.count(".") + 1
        return Text(
            f"签名 token 有三段，用点隔开；这里有 {parts} 段：被截断",
            f"a signed token has three parts between dots; this has {parts}: it was cut",
        )
    return None


def explain_form(token: str, error: TokenError) -> Text:
    """Why a token cannot even be read."""
    if signed_token.is_signed(token):
        found = _header_mistakes(token) if error.reason in ("header", "malformed") else []
        return _joined(found) if found else explain(error)
    if error.reason == "base64":
        if odd := _NOT_BASE64.search(token):
            return Text(
                f"不是 base64：第 {odd.start() + 1} 个字符是 {odd[0]!a}",
                f"is not base64: character {odd.start() + 1} is {odd[0]!a}",
            )
        return Text("base64 的末尾不完整：token 被截断", "the base64 ends in the middle: the token was cut")
    return explain(error)


def explain_cipher_text(sealed: SealedToken, sizes: Iterable[int], error: TokenError) -> Text:
    """Why no key of these sizes, in bytes, can have made this ciphertext."""
    if sealed.body.count(b"|") >= 2:
        return Text("没有加密：里面就是明文", "is not encrypted: the plaintext itself is inside")
    try:
        size = len(decode_base64(sealed.body))
    except TokenError:
        size = len(sealed.body) * 3 // 4
    if size >= min(sizes, default=0):
        return explain(error)
    return Text(
        f"密文只有 {size} 字节，密钥是 {min(sizes)} 字节的：token 被截断，或用了另一把更短的公钥",
        f"the ciphertext has {size} bytes and the key {min(sizes)}: the token was cut, or made with a shorter key",
    )


def explain_signed(signed: signed_token.SignedToken, audience: str, error: TokenError) -> Text:
    """Why a signed token is refused, all of it at once."""
    head, body, signature = signed.text.split(".")
    if error.reason == "signature":
        expected, there = (
            _SIGNATURE_BYTES.get(str(signed_token.read_part(head).get("alg"))),
            len(signature) * 3 // 4,
        )
        if expected and there < expected:
            return Text(
                f"签名只有 {there} 字节，应有 {expected}：token 被截断",
                f"the signature has {there} bytes instead of {expected}: the token was cut",
            )
        return explain(error)
    if error.reason == "algorithm":
        return explain(error)
    found = _claim_mistakes(signed_token.read_part(body), audience)
    return _joined(found) if found else explain(error)


def ignored_claims(signed: signed_token.SignedToken) -> Text | None:
    """Claims that nobody reads; those that were meant for something are told so."""
    found = []
    for name in signed_token.read_part(signed.text.split(".")[1]).keys() - {*_CLAIMS, "name"}:
        meant = _MEANT.get(name.lower())
        found.append(
            Text(f"{name}（应为 {meant}）", f"{name} ({meant} is meant)") if meant else Text(name, name)
        )
    return _joined(sorted(found, key=lambda text: text.en)) if found else None


def _header_mistakes(token: str) -> list[Text]:
    head, body, _ = token.split(".")
    header, payload = signed_token.read_part(head), signed_token.read_part(body)
    found = [
        Text(f"JWS 头缺 {name}", f"the header has no {name}")
        for name in ("alg", "kid", "typ")
        if name not in header
    ]
    if "typ" in header and header["typ"] != signed_token.TYPE:
        found.append(_wrong("typ", header["typ"], f"“{signed_token.TYPE}”", signed_token.TYPE))
    if "kid" in header and not (isinstance(header["kid"], str) and KID.fullmatch(header["kid"])):
        found.append(_wrong("kid", header["kid"], "登记时的名字", "the name it was registered by"))
    if extra := sorted(header.keys() - {"alg", "kid", "typ"}):
        names = ", ".join(extra)
        found.append(Text(f"JWS 头多了 {names}", f"the header must not have {names}"))
    if not (isinstance(payload.get("iss"), str) and CLIENT_ID.fullmatch(payload["iss"])):
        found.append(_claim(payload, "iss", "客户端编号", "the client id"))
    return found


def _claim_mistakes(payload: dict[str, Any], audience: str) -> list[Text]:
    seconds = ("10 位整数秒", "seconds, a number of 10 digits")
    expected: dict[str, tuple[Callable[[Any], bool], str, str]] = {
        "aud": (lambda value: value in (audience, [audience]), f"“{audience}”", f'"{audience}"'),
        "sub": (_is_user_id, *_USER_ID),
        "iat": (_is_time, *seconds),
        "exp": (_is_time, *seconds),
        "jti": (lambda value: isinstance(value, str) and 1 <= len(value) <= 128, "1–128 个字符的字符串", "a text of 1 to 128 characters"),
    }  # fmt: skip
    found = [
        _claim(payload, name, zh, en)
        for name, (is_right, zh, en) in expected.items()
        if not (name in payload and is_right(payload[name]))
    ]
    if not isinstance(payload.get("name", ""), str):
        found.append(_wrong("name", payload["name"], "字符串", "a text"))
    begin, end = payload.get("iat"), payload.get("exp")
    if _is_time(begin) and _is_time(end):
        life = int(end) - int(begin)
        if not 0 < life <= signed_token.MAX_LIFE.total_seconds():
            found.append(
                Text(
                    f"exp − iat 是 {life} 秒，应在 1 到 600 之间",
                    f"exp - iat is {life} s, and should be 1 to 600",
                )
            )
    return found


def _claim(payload: dict[str, Any], name: str, zh: str, en: str) -> Text:
    if name in payload:
        return _wrong(name, payload[name], zh, en)
    written = next((other for other, meant in _MEANT.items() if meant == name and other in payload), None)
    if written:
        return Text(f"缺 {name}（写成了 {written}）", f"{name} is missing ({written} stands there)")
    return Text(f"缺 {name}：{zh}", f"{name} is missing: {en}")


def _wrong(name: str, value: object, zh: str, en: str) -> Text:
    shown = json.dumps(value, ensure_ascii=True)[:60]
    return Text(f"{name} 是 {shown}，应为{zh}", f"{name} is {shown}, and should be {en}")


def _is_time(value: object) -> TypeGuard[float]:
    return not isinstance(value, bool) and isinstance(value, int | float) and 10**9 <= value < 10**10


def _is_user_id(value: object) -> bool:
    try:
        return isinstance(value, str) and check_user_id(value) == value
    except TokenError:
        return False


def _joined(texts: Iterable[Text]) -> Text:
    found = list(texts)
    return Text("；".join(text.zh for text in found), "; ".join(text.en for text in found))


_OTHERS = {
    "st_": Text(
        "这是会话，不是 token：请求里用 Authorization: Bearer st_…；查看用 session list",
        "is a session, not a token: it goes into Authorization: Bearer st_…; see session list",
    ),
    "tk_": Text(
        '这是票据，不是 token：一分钟内用一次，POST /auth/session {"ticket": …}',
        'is a ticket, not a token: good once within a minute, for POST /auth/session {"ticket": …}',
    ),
    "sk-": Text(
        "这是 API 密钥，不是 token：请求里用 Authorization: Bearer sk-…；查看用 api-key list",
        "is an api key, not a token: it goes into Authorization: Bearer sk-…; see api-key list",
    ),
}
_USER_ID = (
    "字符串，1–64 字节，不含 |、不可见字符和首尾空格",
    "a text of 1 to 64 bytes, without |, invisible characters and spaces at its ends",
)
EXPLANATIONS = {
    "base64": Text("不是合法的 base64", "is not base64"),
    "too_long": Text("超过 2048 个字符", "has more than 2048 characters"),
    "malformed": Text("解开后应为 客户端编号|密文", "should decode to client id | ciphertext"),
    "unknown_client": Text("没有这个客户端", "there is no such client"),
    "client_disabled": Text("客户端已禁用（client enable）", "the client is disabled (client enable)"),
    "no_key": Text("没有可用的对应密钥", "the client has no such key that is still good"),
    "sealed": Text(
        "这把密钥解不开：主密钥已更换，请重启服务",
        "the key itself does not open: the master key was changed; restart the server",
    ),
    "length": Text("密文长度与密钥不符", "the ciphertext's length is not the key's"),
    "blocks": Text(
        "密文分了几段，该客户端不允许：缩短用户名或留空；改不了生成方时用 client option max_blocks",
        "has more blocks than this client may use: shorten the username or leave it empty; where the issuer cannot be "
        "changed, client option max_blocks",
    ),
    "percent": Text(
        "pct_fields=on 时用户编号和用户名应为 UTF-8 的百分号编码，% 写成 %25",
        "with pct_fields=on, user id and username are percent-encoded UTF-8; a % is %25",
    ),
    "decrypt": Text(
        "解不开：公钥不是现在的，或填充方式不是 OAEP",
        "cannot be decrypted: made with another public key, or the padding is not OAEP",
    ),
    "utf8": Text("明文不是 UTF-8", "the plaintext is not UTF-8"),
    "fields": Text(
        "明文应恰有四段：client_id|user_id|username|timestamp",
        "the plaintext should have exactly four parts: client_id|user_id|username|timestamp",
    ),
    "client_mismatch": Text("明文里的客户端与外层不同", "the client inside is not the one outside"),
    "timestamp": Text(
        "时间应为 10 位秒（可带小数）或 13 位毫秒",
        "the time should be 10 digits of seconds or 13 of milliseconds",
    ),
    "user_id": USER_ID_RULE,
    "expired": Text("已过期", "has expired"),
    "future": Text("时间在未来：核对生成方的时钟", "is from the future: check the issuer's clock"),
    "replayed": Text("使用次数已用完", "was used as often as it may be"),
    "user_disabled": Text("用户已禁用（user enable）", "the user is disabled (user enable)"),
    "header": Text(
        f"JWS 头只能有 alg、kid 和 typ={signed_token.TYPE}",
        f"the JWS header has alg, kid and typ={signed_token.TYPE}, nothing else",
    ),
    "json": Text("头或载荷不是合法的 JSON", "header or payload is not valid JSON"),
    "signature": Text("签名不对", "the signature is wrong"),
    "algorithm": Text("alg 与登记的密钥不符", "alg does not fit the registered key"),
    "audience": Text("aud 不是 [auth] audience", "aud is not [auth] audience"),
    "life": Text("exp 应晚于 iat，且不超过 600 秒", "exp should be after iat, by 600 s at most"),
}
