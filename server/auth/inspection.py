"""A token explained to whoever wonders why it is refused: the checks of `Tokens`, one by one, told aloud."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from Crypto.PublicKey import RSA
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import api_token, mistakes, repository, signed_token
from server.auth.api_token import PADDINGS, PKCS1V15, Claims, Form, SealedToken, TokenError
from server.auth.mistakes import Mistake
from server.auth.models import Client, ClientKey, KeyKind
from server.auth.policy import Policy, Rules, rules_of
from server.auth.signed_token import SignedToken
from server.auth.skew import ClockSkew
from server.auth.tokens import could_open, form_of, is_open
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
    session: AsyncSession,
    vault: Vault,
    lanes: Lanes,
    token: str,
    settings: AuthSettings,
    now: datetime,
    skew: ClockSkew | None = None,
) -> list[Step]:
    """Say step by step what a token is, up to the first step that it fails. Nothing is counted or changed.

    `skew`: what this process knows of the clients' clocks, where it serves them.
    """
    inspection = _Inspection(session, vault, lanes, settings, now)
    inspection.skew = skew or ClockSkew()
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
        self._step, self._clocks = "form", Text("", "")
        self.skew = ClockSkew()
        self.steps: list[Step] = []

    def failed(self, error: TokenError) -> None:
        found = mistakes.explain(error)
        if self._step == "time":
            found = Text(found.zh + self._clocks.zh, found.en + self._clocks.en)
        self.steps.append(Step(self._step, passed=False, found=found))

    def _passed(self, zh: str, en: str, then: str) -> None:
        self.steps.append(Step(self._step, passed=True, found=Text(zh, en)))
        self._step = then

    async def run(self, token: str) -> None:
        parsed = self._parse(token)
        version = 1 if isinstance(parsed, SealedToken) else 2
        name = parsed.client_id + (f"~{parsed.kid}" if parsed.kid else "")
        self._passed(f"第 {version} 版，客户端 {name}", f"version {version}, client {name}", "client")
        client = await self._find_client(parsed.client_id)
        zh, en = f"策略 {client.policy}", f"policy {client.policy}"
        if client.networks:  # where this token will come from is not known here
            zh, en = f"{zh}；只接受来自 {client.networks}", f"{en}; from {client.networks} only"
        self._passed(zh, en, "key")
        claims = await self._open(parsed, client)
        age = int((self._now - claims.issued_at).total_seconds())
        self._clocks = self._tell_clocks(client.id, age)
        self._check_time(claims, Policy(client.policy))
        self._passed(
            f"{max(0, age)} 秒前生成{self._clocks.zh}",
            f"made {max(0, age)} s ago{self._clocks.en}",
            "user",
        )
        user = await repository.find_user(self._session, client.id, claims.user_id)
        if user is not None and not user.enabled:
            raise TokenError("user_disabled")
        known = ("已有用户", "known") if user else ("新用户", "new")
        self._passed(f"{claims.user_id}（{known[0]}）", f"{claims.user_id} ({known[1]})", "uses")
        await self._check_uses(claims, Policy(client.policy))

    def _tell_clocks(self, client_id: str, age: int) -> Text:
        """What this token (`age` in seconds), or else an earlier one of its client, says of the issuer's clock."""
        if age < 0:
            return Text(
                f"；生成方的时钟至少快 {-age} 秒", f"; the issuer's clock is ahead by {-age} s at least"
            )
        if (seen := self.skew.of(client_id)) is not None:
            at, seconds = f"{seen.seen_at:%F %T} UTC", seen.seconds
            return Text(
                f"；{at} 有一个 token 来自 {seconds} 秒之后：核对生成方的时钟",
                f"; at {at} one came from {seconds} s in the future: check the issuer's clock",
            )
        return Text("", "")

    def _parse(self, token: str) -> SealedToken | SignedToken:
        if wrapping := mistakes.find_wrapping(token):
            raise Mistake("base64", wrapping)
        try:
            if signed_token.is_signed(token):
                return signed_token.parse_signed(token)
            return api_token.parse_token(token)
        except TokenError as error:
            raise Mistake(error.reason, mistakes.explain_form(token, error)) from None

    async def _find_client(self, client_id: str) -> Client:
        client = await repository.find_client(self._session, client_id)
        if client is None:
            there = ", ".join(await repository.list_client_ids(self._session))
            words = Text(
                f"没有客户端 {client_id}；已有：{there}",
                f"there is no client {client_id}; there are: {there}",
            )
            raise Mistake("unknown_client", words)
        if not client.enabled:
            raise TokenError("client_disabled")
        return client

    async def _open(self, parsed: SealedToken | SignedToken, client: Client) -> Claims:
        keys = await repository.list_keys(self._session, client.id)
        usable = [key for key in keys if is_open(key, self._now) and could_open(key, parsed)]
        form, failure = form_of(client), TokenError("no_key")
        for key in usable:
            try:
                claims = await self._lanes.run("crypto", self._open_with, key, parsed, form)
            except TokenError as error:
                if failure.reason in ("no_key", "decrypt"):
                    failure = error
            else:
                self._passed_key(claims, key, parsed, form)
                return claims
        if failure.reason in _OTHER_KEY:
            await self._look_for_closed(keys, parsed, form)
        if isinstance(parsed, SignedToken):
            if failure.reason not in _OTHER_KEY:
                self._passed(f"密钥 {parsed.kid}（签名）", f"key {parsed.kid} (signature)", "claims")
            if usable:
                raise Mistake(
                    failure.reason, mistakes.explain_signed(parsed, self._settings.audience, failure)
                )
        elif failure.reason in ("length", "base64"):
            sizes = [RSA.import_key(key.public_pem).size_in_bytes() for key in usable]
            raise Mistake(failure.reason, mistakes.explain_cipher_text(parsed, sizes, failure))
        raise failure if usable else self._no_key(keys, parsed)

    def _passed_key(
        self, claims: Claims, key: ClientKey, parsed: SealedToken | SignedToken, form: Form
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
        if isinstance(parsed, SignedToken) and (ignored := mistakes.ignored_claims(parsed)):
            self._step = "claims"
            self._passed(f"不认识、不理会的：{ignored.zh}", f"unknown and ignored: {ignored.en}", "time")

    async def _look_for_closed(
        self, keys: list[ClientKey], parsed: SealedToken | SignedToken, form: Form
    ) -> None:
        """Raises Mistake when it was made with a key that is not good any more."""
        for key in keys:
            if is_open(key, self._now) or not could_open(key, parsed):
                continue
            if await self._lanes.run("crypto", self._fits, key, parsed, form):
                raise Mistake("no_key", await self._ended(key))

    async def _ended(self, key: ClientKey) -> Text:
        """When and how a key ended."""
        row = await repository.find_audit(self._session, key.client_id, "key.revoke", key.kid)
        if row is not None:
            at, zh, en = row.at, "已作废", "it was revoked"
        else:
            at, zh, en = key.retire_at or key.created_at, "已轮换", "it was replaced"
        return Text(
            f"用密钥 {key.kid} 生成，它在 {at:%F %R} UTC 停用（{zh}）：换用现在的密钥",
            f"was made with key {key.kid}, which ended at {at:%F %R} UTC ({en}): use the one of today",
        )

    def _no_key(self, keys: list[ClientKey], parsed: SealedToken | SignedToken) -> TokenError:
        kinds = {KeyKind.SIGNING} if isinstance(parsed, SignedToken) else {KeyKind.RSA, KeyKind.RSA_V15}
        there = ", ".join(key.kid for key in keys if key.kind in kinds and is_open(key, self._now))
        if isinstance(parsed, SignedToken) and not there:
            words = Text(
                "这个客户端没有登记签名公钥（client add-signing-key）",
                "the client has no such key: none for signed tokens (client add-signing-key)",
            )
        else:
            words = Text(
                f"没有可用的密钥 {parsed.kid or ''}；可用：{there or '无'}",
                f"the client has no such key that is still good; there are: {there or 'none'}",
            )
        return Mistake("no_key", words)

    def _fits(self, key: ClientKey, parsed: SealedToken | SignedToken, form: Form) -> bool:
        """Was this made with that key? Blocks for the RSA operations."""
        try:
            self._open_with(key, parsed, form)
        except TokenError as error:
            # PKCS#1 v1.5 opens everything to something.
            return key.kind != KeyKind.RSA_V15 and error.reason not in {*_OTHER_KEY, "base64", "blocks"}
        return True

    def _open_with(self, key: ClientKey, parsed: SealedToken | SignedToken, form: Form) -> Claims:
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
        rules, age = rules_of(policy, self._settings), self._now - claims.issued_at
        try:
            if claims.expires_at is not None:
                signed_token.check_life(claims, self._now)
            else:
                api_token.check_age(claims, self._now, max_age=rules.max_age, max_skew=rules.max_skew)
        except TokenError as error:
            raise Mistake(error.reason, self._lateness(claims, age, rules, error.reason)) from None

    def _lateness(self, claims: Claims, age: timedelta, rules: Rules, reason: str) -> Text:
        if reason == "future":
            allowed = signed_token.MAX_SKEW if claims.expires_at else rules.max_skew
            return Text(
                f"时间在未来 {_seconds(-age)} 秒，最多允许 {_seconds(allowed)} 秒：核对生成方的时钟",
                f"is {_seconds(-age)} s from the future, {_seconds(allowed)} s are allowed: check the issuer's clock",
            )
        if claims.expires_at is not None:
            over = _seconds(self._now - claims.expires_at)
            return Text(f"已过期：exp 在 {over} 秒前", f"has expired: exp was {over} s ago")
        return Text(
            f"已过期：{_seconds(age)} 秒前生成，最多 {_seconds(rules.max_age)} 秒",
            f"has expired: it was made {_seconds(age)} s ago, {_seconds(rules.max_age)} s are allowed",
        )

    async def _check_uses(self, claims: Claims, policy: Policy) -> None:
        limit = 1 if claims.expires_at is not None else rules_of(policy, self._settings).max_uses
        used = await repository.find_uses(self._session, claims.use_hash)
        if limit is not None and used >= limit:
            raise Mistake(
                "replayed",
                Text(f"已换过 {used} 次，最多 {limit} 次", f"was used {used} times, {limit} are allowed"),
            )
        if limit is None:
            self._passed("可直接用于每个请求", "good for any number of calls", "")
        else:
            self._passed(
                f"只能换会话（POST /auth/session），还能换 {limit - used} 次",
                f"good for {limit - used} more exchanges (POST /auth/session)",
                "",
            )


# Reasons that another key could heal.
_OTHER_KEY = {"no_key", "decrypt", "length", "signature", "algorithm"}


def _seconds(time: timedelta) -> int:
    return int(time.total_seconds())
