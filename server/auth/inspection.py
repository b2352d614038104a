"""A token explained to whoever wonders why it is refused: the checks of `Tokens`, one by one, told aloud."""

from dataclasses import dataclass
from datetime import datetime

from Crypto.PublicKey import RSA
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import api_token, repository, signed_token
from server.auth.api_token import PADDINGS, PKCS1V15, Claims, Form, SealedToken, TokenError
from server.auth.models import ClientKey, KeyKind
from server.auth.policy import Policy, rules_of
from server.auth.tokens import could_open, form_of
from server.auth.vault import Vault, WrongMasterKey
from server.core.i18n import Text
from server.core.settings import AuthSettings
from server.core.threads import Lanes


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a token must pass, and what was found."""

    name: str
    passed: bool
    found: Text


async def inspect_token(
    session: AsyncSession, vault: Vault, lanes: Lanes, token: str, settings: AuthSettings, now: datetime
) -> list[Step]:
    """Say step by step what a token is, up to the first step that it fails. Nothing is counted or changed."""
    inspection = _Inspection(session, vault, lanes, settings, now)
    try:
        await inspection.run(token)
    except TokenError as error:
        inspection.failed(error)
    return inspection.steps


class _Inspection:
    """The same checks as `Tokens`, told aloud."""

    def __init__(
        self, session: AsyncSession, vault: Vault, lanes: Lanes, settings: AuthSettings, now: datetime
    ) -> None:
        self._session, self._vault, self._lanes = session, vault, lanes
        self._settings, self._now = settings, now
        self._step = "form"
        self.steps: list[Step] = []

    def failed(self, error: TokenError) -> None:
        self.steps.append(Step(self._step, passed=False, found=_explanation(error.reason)))

    def _passed(self, zh: str, en: str, then: str) -> None:
        self.steps.append(Step(self._step, passed=True, found=Text(zh, en)))
        self._step = then

    async def run(self, token: str) -> None:
        parsed: SealedToken | signed_token.SignedToken
        signed = signed_token.is_signed(token)
        parsed = signed_token.parse_signed(token) if signed else api_token.parse_token(token)
        name = parsed.client_id + (f"~{parsed.kid}" if parsed.kid else "")
        self._passed(
            f"第 {2 if signed else 1} 版，客户端 {name}",
            f"version {2 if signed else 1}, client {name}",
            "client",
        )
        client = await repository.find_client(self._session, parsed.client_id)
        if client is None:
            raise TokenError("unknown_client")
        if not client.enabled:
            raise TokenError("client_disabled")
        self._passed(f"策略 {client.policy}", f"policy {client.policy}", "key")
        claims, key = await self._open(parsed, form_of(client))
        self._passed_key(claims, key, parsed, form_of(client))
        self._check_time(claims, Policy(client.policy))
        age = int((self._now - claims.issued_at).total_seconds())
        self._passed(f"{age} 秒前生成", f"made {age} s ago", "user")
        user = await repository.find_user(self._session, client.id, claims.user_id)
        if user is not None and not user.enabled:
            raise TokenError("user_disabled")
        known = ("已有用户", "known") if user else ("新用户", "new")
        self._passed(f"{claims.user_id}（{known[0]}）", f"{claims.user_id} ({known[1]})", "uses")
        await self._check_uses(claims, Policy(client.policy))

    def _passed_key(
        self, claims: Claims, key: ClientKey, parsed: SealedToken | signed_token.SignedToken, form: Form
    ) -> None:
        zh: list[str] = [claims.padding or "签名"]
        en: list[str] = [claims.padding or "signature"]
        if isinstance(parsed, SealedToken):
            size = RSA.import_key(key.public_pem).size_in_bytes()
            if (blocks := len(api_token.cipher_text_of(parsed, size, form)) // size) > 1:
                zh.append(f"{blocks} 段密文，max_blocks={form.max_blocks}")
                en.append(f"{blocks} blocks, max_blocks={form.max_blocks}")
            if form.pct_fields:
                zh.append("用户编号和用户名按百分号编码解开，pct_fields=on")
                en.append("user id and username percent-decoded, pct_fields=on")
        self._passed(f"密钥 {key.kid}（{'；'.join(zh)}）", f"key {key.kid} ({'; '.join(en)})", "time")

    async def _open(
        self, parsed: SealedToken | signed_token.SignedToken, form: Form
    ) -> tuple[Claims, ClientKey]:
        failure = TokenError("no_key")
        for key in await repository.list_open_keys(self._session, parsed.client_id, self._now):
            if not could_open(key, parsed):
                continue
            try:
                return await self._lanes.run("crypto", self._open_with, key, parsed, form), key
            except TokenError as error:
                if failure.reason in ("no_key", "decrypt"):
                    failure = error
        raise failure

    def _open_with(
        self, key: ClientKey, parsed: SealedToken | signed_token.SignedToken, form: Form
    ) -> Claims:
        """Blocks for the RSA operations."""
        if not isinstance(parsed, SealedToken):
            return signed_token.verify_signed(parsed, key.public_pem, self._settings.audience)
        assert key.sealed_private is not None
        try:
            pem = self._vault.open(key.sealed_private, context=key.seal_context)
        except WrongMasterKey:
            raise TokenError("sealed") from None
        paddings = (PKCS1V15,) if key.kind == KeyKind.RSA_V15 else PADDINGS
        return api_token.open_token(parsed, RSA.import_key(pem), paddings, form)

    def _check_time(self, claims: Claims, policy: Policy) -> None:
        if claims.expires_at is not None:
            signed_token.check_life(claims, self._now)
            return
        rules = rules_of(policy, self._settings)
        api_token.check_age(claims, self._now, max_age=rules.max_age, max_skew=rules.max_skew)

    async def _check_uses(self, claims: Claims, policy: Policy) -> None:
        limit = 1 if claims.expires_at is not None else rules_of(policy, self._settings).max_uses
        used = await repository.find_uses(self._session, claims.use_hash)
        if limit is not None and used >= limit:
            raise TokenError("replayed")
        if limit is None:
            self._passed("可直接用于每个请求", "good for any number of calls", "")
        else:
            self._passed(
                f"还能换 {limit - used} 次会话（POST /auth/session）",
                f"good for {limit - used} more exchanges (POST /auth/session)",
                "",
            )


_EXPLANATIONS = {
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
    "user_id": api_token.USER_ID_RULE,
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


def _explanation(reason: str) -> Text:
    return _EXPLANATIONS.get(reason, Text(reason, reason))
