"""Who may call, from the command line: clients, their keys and users, api keys, sessions, tokens, the master key.

Each command is one function of `server.auth.management` in a transaction of its own, and a line in the audit. A running
server sees the change within five seconds.
"""

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from unicodedata import east_asian_width

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import inspection, management, service
from server.auth.audit import CLI
from server.auth.management import Rotation
from server.auth.models import Client, ClientKey
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.rekey import Losses, Rekeyed
from server.auth.rekey import rekey as change_master_key
from server.auth.secret_files import make_secret_file
from server.cli.console import printable
from server.core.clock import Clock
from server.core.errors import AlreadyExists, Invalid
from server.core.i18n import Text
from server.core.settings import Settings
from server.db.schema import check_schema
from server.db.session import Database
from server.services import Services, open_services

T = TypeVar("T")
Run = Callable[[Settings, argparse.Namespace], int]


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    _client_commands(_group(commands, "client", "systems that vouch for their users"))
    _user_commands(_group(commands, "user", "the people whom clients vouch for"))
    _api_key_commands(_group(commands, "api-key", "keys for programs"))
    _session_commands(_group(commands, "session", "logins"))
    _token_commands(_group(commands, "token", "api_tokens, as a client's own system makes them"))
    again = _command(commands, "rekey", "draw a new master key; stop the server before", rekey)
    again.add_argument(
        "--lost",
        action="store_true",
        help="without a backup of the master key: new keys for what does not open any more",
    )
    again.add_argument("--yes-really", action="store_true", help="do it, after reading what --lost ends")
    audit = _command(commands, "audit", "what was changed about identities, the newest first", list_audit)
    audit.add_argument("--client")
    audit.add_argument("--limit", type=_count, default=50)


def _group(commands: Any, name: str, words: str) -> Any:
    return commands.add_parser(name, help=words).add_subparsers(required=True, metavar="COMMAND")


def _command(group: Any, name: str, words: str, run: Run) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = group.add_parser(name, help=words, description=words)
    parser.set_defaults(run=run, prints=True)
    return parser


def _count(text: str) -> int:
    if not (re.fullmatch("[0-9]{1,7}", text) and int(text)):
        raise argparse.ArgumentTypeError("write a whole number from 1 to 9999999")
    return int(text)


def _client_commands(group: Any) -> None:
    add = _command(group, "add", "add a client; prints the public key for its issuer", add_client)
    add.add_argument("--id", required=True)
    add.add_argument("--description", default="")
    add.add_argument("--out", type=Path, metavar="FILE", help="write the public key to a new file")
    add.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the RSA private key in PEM that its issuer uses already, instead of a new one",
    )
    add.add_argument(
        "--allow-weak-key", action="store_true", help="take one of 1024 bits and more, for half a year"
    )
    policy: dict[str, Any] = {
        "choices": [str(policy) for policy in Policy],
        "help": "what its tokens are good for: every call (compat, the default: what existing issuers and pages expect), "
        "or an exchange for a session (exchange; strict: once, within two minutes), which is safer for new pages",
    }
    add.add_argument("--policy", default="compat", **policy)
    _command(group, "list", "all clients with their keys", list_clients)
    show = _of_client(group, "show-key", "print the public key again; a look is noted in the audit", show_key)
    show.add_argument("--out", type=Path, metavar="FILE", help="write the public key to a new file")
    rotate = _of_client(group, "rotate", "give a client a new key; prints its public half", rotate_key)
    rotate.add_argument(
        "--overlap-days",
        type=float,
        metavar="DAYS",
        help="how long the old key stays good, 0 ends it now (default: [auth] key_overlap)",
    )
    rotate.add_argument(
        "--force", action="store_true", help="end a key that is still good from the rotation before"
    )
    rotate.add_argument("--out", type=Path, metavar="FILE", help="write the public key to a new file")
    revoke = _of_client(group, "revoke", "end a key now, and every session of the client", revoke_key)
    revoke.add_argument("--key", required=True, metavar="KID", help="its name, see `client list`")
    _of_client(
        group, "disable", "refuse the client and all its users; ends their sessions", enable_client
    ).set_defaults(enabled=False)
    _of_client(group, "enable", "let it in again", enable_client).set_defaults(enabled=True)
    change = _of_client(group, "policy", "change what its tokens are good for", set_policy)
    change.add_argument("policy", **policy)
    option = _of_client(
        group,
        "option",
        "change what its tokens may differ in and come from; all is off by default",
        set_options,
    )
    option.add_argument(
        "options",
        nargs="+",
        metavar="NAME=VALUE",
        help="max_blocks=1 to 4: RSA blocks of a token, for an issuer that cannot do with one (prefer a shorter or an empty "
        "username); pct_fields=on|off: user id and username are percent-encoded; networks=10.0.0.0/8,192.168.1.5: where its tokens "
        "are taken from, nothing behind the = is anywhere",
    )
    register = _of_client(
        group, "add-signing-key", "register its own public key, for signed tokens", add_signing_key
    )
    register.add_argument("file", type=Path, help="a public key in PEM: Ed25519, P-256 or RSA")
    register.add_argument(
        "--key", metavar="KID", help="the name that its tokens carry (default: the next one)"
    )
    _of_client(
        group,
        "allow-pkcs1v15",
        "for an issuer that cannot do OAEP: a key pair of its own; prints it",
        allow_pkcs1v15,
    )
    frames = _of_client(
        group, "frame-ancestors", "the sites that may show our page in a frame", set_frame_ancestors
    )
    frames.add_argument(
        "origins",
        nargs="*",
        metavar="ORIGIN",
        help="https://HOST[:PORT], or http:// within an intranet; no wildcards; none: only this server's own pages",
    )


def _user_commands(group: Any) -> None:
    _of_client(group, "list", "a client's users", list_users)
    for name, words, enabled in (
        ("disable", "refuse a person; ends their sessions", False),
        ("enable", "let them in again", True),
    ):
        change = _of_client(group, name, words, enable_user)
        change.set_defaults(enabled=enabled)
        change.add_argument("--user", required=True)
    role = _of_client(group, "role", "what they may do", set_role)
    role.add_argument("--user", required=True)
    role.add_argument("role", choices=[str(role) for role in Role])


def _api_key_commands(group: Any) -> None:
    add = _of_client(group, "add", "add a key; prints it once", add_api_key)
    add.add_argument(
        "--scopes", default="chat,kb:read", help="of chat, kb:read, kb:write, usage, vouch, admin; by commas"
    )
    _command(group, "list", "api keys, without their secrets", list_api_keys).add_argument("--client")
    _command(group, "revoke", "end a key", revoke_api_key).add_argument("id", help="see `api-key list`")


def _session_commands(group: Any) -> None:
    listing = _of_client(group, "list", "the sessions of a client or of one user", list_sessions)
    listing.add_argument("--user")
    end = _of_client(group, "end", "end one session, or all of a user or client", end_sessions)
    end.add_argument("--user")
    end.add_argument("--session", metavar="ID", help="see `session list`")
    end.add_argument("--all", action="store_true", help="all of the client")


def _token_commands(group: Any) -> None:
    make = _of_client(group, "make", "make a token for a user; prints it", make_token)
    make.add_argument("--user", required=True)
    make.add_argument("--name", default="", help="the name that is shown")
    inspect = _command(
        group, "inspect", "say step by step what a token is and why it would be refused", inspect_token
    )
    inspect.add_argument("token", help="the token, or - to read it from the standard input")


def _of_client(group: Any, name: str, words: str, run: Run) -> argparse.ArgumentParser:
    parser = _command(group, name, words, run)
    parser.add_argument("--client", required=True)
    return parser


# ── clients ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def add_client(settings: Settings, options: argparse.Namespace) -> int:
    _check_new(options.out)
    new = service.NewClient(options.id, options.description, Policy(options.policy))
    if options.key is not None:
        return _import_client(settings, options, new)
    public_key = _change(
        settings,
        lambda do: service.add_client(do.session, do.vault, new, do.now),
    )
    _hand_out(public_key, options.out)
    _say(
        f"客户端 {options.id} 已添加。公钥只交给它的服务端保管",
        "keep the public key on the issuer's server only",
    )
    return 0


def _import_client(settings: Settings, options: argparse.Namespace, new: service.NewClient) -> int:
    pem = options.key.read_text(encoding="ascii", errors="replace")
    key = _change(
        settings,
        lambda do: management.import_client(
            do.session, do.vault, do.actor, new, pem, do.now, allow_weak=options.allow_weak_key
        ),
    )
    _hand_out(key.public_pem, options.out)
    _say(f"客户端 {new.id} 已添加，沿用原来的密钥", f"client {new.id} is added, with the key it had")
    if key.retire_at is not None:
        _say(
            f"这把密钥太弱，{key.retire_at:%F} 停用；在那之前用 client rotate 换新的",
            f"this key is weak and ends on {key.retire_at:%F}; replace it before with client rotate",
        )
    return 0


def list_clients(settings: Settings, _options: argparse.Namespace) -> int:
    async def read(do: _Do) -> list[Sequence[object]]:
        rows: list[Sequence[object]] = []
        for client in await management.list_clients(do.session):
            keys = await management.list_keys(do.session, client.id)
            shown = ", ".join(_shown_key(key, do.now) for key in keys)
            state = "enabled" if client.enabled else "disabled"
            rows.append(
                (
                    client.id,
                    state,
                    client.policy,
                    shown,
                    _options_of(client),
                    client.frame_ancestors,
                    client.description,
                )
            )
        return rows

    head = ("id", "state", "policy", "keys", "options", "frame ancestors", "description")
    _table(head, _change(settings, read))
    return 0


def _shown_key(key: ClientKey, now: datetime) -> str:
    end = (
        f" until {key.retire_at:%F %R} UTC" if (state := management.state_of(key, now)) == "retiring" else ""
    )
    return f"{key.kid} ({key.kind}, {state}{end})"


def show_key(settings: Settings, options: argparse.Namespace) -> int:
    _check_new(options.out)

    async def show(do: _Do) -> tuple[str, Client]:
        key = await management.show_key(do.session, do.actor, options.client, do.now)
        return key.public_pem, await management.get_client(do.session, options.client)

    public_pem, client = _change(settings, show)
    _hand_out(public_pem, options.out)
    _warn_if_disabled(client)
    return 0


def rotate_key(settings: Settings, options: argparse.Namespace) -> int:
    _check_new(options.out)
    days = options.overlap_days
    if days is not None and not 0 <= days <= 365:
        raise Invalid(Text("--overlap-days 应在 0 到 365 之间", "--overlap-days is between 0 and 365"))
    overlap = settings.auth.key_overlap if days is None else timedelta(days=days)

    async def rotate(do: _Do) -> tuple[ClientKey, list[ClientKey]]:
        rotation = Rotation(overlap, force=options.force)
        key = await management.rotate_key(do.session, do.vault, do.actor, options.client, rotation, do.now)
        return key, await management.retiring_keys(do.session, options.client, do.now)

    key, retiring = _change(settings, rotate)
    _hand_out(key.public_pem, options.out)
    zh = "".join(f"；旧密钥 {old.kid} 可用到 {old.retire_at:%F %R} UTC" for old in retiring)
    en = "".join(f"; the old one, {old.kid}, is good until {old.retire_at:%F %R} UTC" for old in retiring)
    _say(f"新密钥 {key.kid}{zh}", f"new key {key.kid}{en}")
    return 0


def revoke_key(settings: Settings, options: argparse.Namespace) -> int:
    _change(
        settings, lambda do: management.revoke_key(do.session, do.actor, options.client, options.key, do.now)
    )
    _say(f"密钥 {options.key} 已作废", f"key {options.key} is revoked")
    return 0


def enable_client(settings: Settings, options: argparse.Namespace) -> int:
    _change(
        settings,
        lambda do: management.set_client_enabled(
            do.session, do.actor, options.client, enabled=options.enabled, now=do.now
        ),
    )
    _say(
        f"客户端 {options.client} 已{'启用' if options.enabled else '禁用'}",
        "enabled" if options.enabled else "disabled",
    )
    return 0


def set_policy(settings: Settings, options: argparse.Namespace) -> int:
    policy = Policy(options.policy)
    _change(settings, lambda do: management.set_policy(do.session, do.actor, options.client, policy, do.now))
    _say(f"客户端 {options.client} 的策略为 {policy}", f"the policy of {options.client} is {policy}")
    return 0


def set_options(settings: Settings, options: argparse.Namespace) -> int:
    given = dict(_parse_option(text) for text in options.options)
    _change(
        settings, lambda do: management.set_options(do.session, do.actor, options.client, do.now, **given)
    )
    _say(f"客户端 {options.client} 已设置 {' '.join(options.options)}", f"set for {options.client}")
    return 0


def _options_of(client: Client) -> str:
    """As `client option` takes them, without those that have their default."""
    blocks = [f"max_blocks={client.max_blocks}"] if client.max_blocks > 1 else []
    fields = ["pct_fields=on"] if client.pct_fields else []
    networks = [f"networks={client.networks.replace(' ', ',')}"] if client.networks else []
    return " ".join([*blocks, *fields, *networks])


def _parse_option(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    match name, value:
        case "max_blocks", _ if re.fullmatch("[0-9]", value):
            return name, int(value)
        case "pct_fields", "on" | "off":
            return name, value == "on"
        case "networks", _ if "=" in text:
            return name, [network for network in value.split(",") if network]
        case _:
            known = "max_blocks=1…4, pct_fields=on|off, networks=10.0.0.0/8,…"
            raise Invalid(Text(f"没有选项 {text}；可用：{known}", f"no option {text}; there are: {known}"))


def add_signing_key(settings: Settings, options: argparse.Namespace) -> int:
    pem = options.file.read_text(encoding="ascii", errors="replace")
    key = _change(
        settings,
        lambda do: management.add_signing_key(do.session, do.actor, options.client, pem, do.now, options.key),
    )
    _say(f"已登记密钥 {key.kid}", f"registered as {key.kid}: the `kid` of its tokens")
    return 0


def allow_pkcs1v15(settings: Settings, options: argparse.Namespace) -> int:
    key = _change(
        settings,
        lambda do: management.allow_pkcs1v15(do.session, do.vault, do.actor, options.client, do.now),
    )
    _hand_out(key.public_pem, None)
    _say(f"密钥 {key.kid} 仅用于 PKCS#1 v1.5", f"key {key.kid} is for PKCS#1 v1.5 only; prefer OAEP")
    return 0


def set_frame_ancestors(settings: Settings, options: argparse.Namespace) -> int:
    client = _change(
        settings,
        lambda do: management.set_frame_ancestors(
            do.session, do.actor, options.client, options.origins, do.now
        ),
    )
    origins = client.frame_ancestors
    _say(f"可嵌入页面的来源：本站 {origins}".rstrip(), f"may show our page: this server {origins}".rstrip())
    return 0


# ── users, keys, sessions ─────────────────────────────────────────────────────────────────────────────────────────────


def list_users(settings: Settings, options: argparse.Namespace) -> int:
    users, total = _change(settings, lambda do: management.list_users(do.session, options.client, limit=1000))
    _table(
        ("id", "name", "role", "state", "since"),
        [
            (
                user.id,
                user.username,
                user.role,
                "enabled" if user.enabled else "disabled",
                f"{user.created_at:%F %R}",
            )
            for user in users
        ],
    )
    if total > len(users):
        _say(f"共 {total} 个，显示前 {len(users)} 个", f"{total} in all, the first {len(users)} are shown")
    return 0


def enable_user(settings: Settings, options: argparse.Namespace) -> int:
    _change(
        settings,
        lambda do: management.set_user_enabled(
            do.session, do.actor, options.client, options.user, enabled=options.enabled, now=do.now
        ),
    )
    _say(
        f"用户 {options.user} 已{'启用' if options.enabled else '禁用'}",
        "enabled" if options.enabled else "disabled",
    )
    return 0


def set_role(settings: Settings, options: argparse.Namespace) -> int:
    role = Role(options.role)
    _change(
        settings,
        lambda do: management.set_role(do.session, do.actor, options.client, options.user, role, do.now),
    )
    _say(f"用户 {options.user} 的角色为 {role}", f"the role of {options.user} is {role}")
    return 0


def add_api_key(settings: Settings, options: argparse.Namespace) -> int:
    scopes = [scope.strip() for scope in options.scopes.split(",") if scope.strip()]
    sys.stdout.write(
        _change(
            settings, lambda do: service.add_api_key(do.session, do.vault, options.client, scopes, do.now)
        )
        + "\n"
    )
    _say("请立即保存，之后不再显示", "save it now, it is not shown again")
    return 0


def list_api_keys(settings: Settings, options: argparse.Namespace) -> int:
    keys = _change(settings, lambda do: management.list_api_keys(do.session, options.client))
    _table(
        ("id", "client", "ends in", "scopes", "state", "since"),
        [
            (
                key.id,
                key.client_id,
                f"…{key.last4}",
                ",".join(key.scopes),
                "enabled" if key.enabled else "revoked",
                f"{key.created_at:%F %R}",
            )
            for key in keys
        ],
    )
    return 0


def revoke_api_key(settings: Settings, options: argparse.Namespace) -> int:
    _change(settings, lambda do: management.revoke_api_key(do.session, do.actor, options.id, do.now))
    _say(f"API 密钥 {options.id} 已作废", f"api key {options.id} is revoked")
    return 0


def list_sessions(settings: Settings, options: argparse.Namespace) -> int:
    rows = _change(
        settings,
        lambda do: management.list_sessions(do.session, options.client, options.user, settings.auth, do.now),
    )
    _table(
        ("id", "user", "came by", "since", "last used"),
        [
            (row.id, row.user_id, row.origin, f"{row.created_at:%F %R}", f"{row.last_used_at:%F %R}")
            for row in rows
        ],
    )
    return 0


def end_sessions(settings: Settings, options: argparse.Namespace) -> int:
    if options.user is None and options.session is None and not options.all:
        raise Invalid(
            Text(
                f"要结束客户端 {options.client} 的所有登录会话，请加 --all；否则用 --user 或 --session 指明",
                f"--all ends every session of {options.client}; or name --user or --session",
            )
        )
    ended = _change(
        settings,
        lambda do: management.end_logins(
            do.session, do.actor, options.client, options.user, do.now, options.session
        ),
    )
    _say(f"已结束 {ended} 个登录会话", f"sessions ended: {ended}")
    return 0


# ── tokens, master key, audit ─────────────────────────────────────────────────────────────────────────────────────────


def make_token(settings: Settings, options: argparse.Namespace) -> int:
    async def make(do: _Do) -> tuple[str, Client]:
        made = await service.make_token(do.session, options.client, options.user, options.name, do.now)
        return made, await management.get_client(do.session, options.client)

    token, client = _change(settings, make)
    sys.stdout.write(token + "\n")
    _warn_if_disabled(client)
    return 0


def inspect_token(settings: Settings, options: argparse.Namespace) -> int:
    token = (_read_stdin() if options.token == "-" else options.token).strip()  # noqa: S105 (no secret: "read stdin")
    steps = _change(
        settings,
        lambda do: inspection.inspect_token(do.session, do.vault, do.lanes, token, settings.auth, do.now),
    )
    for step in steps:
        found = printable(f"{step.found.zh} / {step.found.en}")
        sys.stdout.write(f"{'✓' if step.passed else '✗'} {step.name:<10} {found}\n")
    return 0 if all(step.passed for step in steps) else 1


def rekey(settings: Settings, options: argparse.Namespace) -> int:
    if options.lost and not options.yes_really:
        _say(
            "主密钥丢失且没有任何备份时才用 --lost：先找 secrets/master.key 的备份，放回原处即可恢复。--lost 会让解不开的密钥"
            "全部作废：各客户端换新密钥，旧公钥生成的 token 一律被拒，要把新公钥交给每个签发方；API 密钥也可能全部作废。"
            "确定要做时加 --yes-really",
            "--lost is for a master key that is gone from every backup: look for one of secrets/master.key first, and put it "
            "back. --lost ends what does not open: those clients get new keys, tokens made with their old public keys are "
            "refused, and each issuer needs the new one; api keys may all end as well. To do it, add --yes-really",
        )
        return 1
    configured = settings.auth.master_key.get_secret_value() if settings.auth.master_key else None

    async def run() -> Rekeyed:
        # Without the services: the vault is opened where nobody else can change what it is opened with.
        database = Database(settings.database_url, settings.database)
        try:
            await check_schema(database)
            return await change_master_key(
                database, configured, settings.server.data_dir, CLI, Clock().now(), lost=options.lost
            )
        finally:
            await database.close()

    done = asyncio.run(run())
    _tell_losses(done.losses)
    _say(f"新的主密钥在 {done.file}，请备份", f"the new master key is in {done.file}: back it up")
    if configured is not None:
        _say(
            "启动服务前：把密钥库里 AUTH__MASTER_KEY（[auth] master_key）的值换成这个文件的内容，再启动服务；"
            "旧值要留着，旧的数据库备份要用它",
            "before you start the server: put this file's content in place of AUTH__MASTER_KEY ([auth] master_key) in your "
            "secret store; keep the old value as long as you keep older backups of the database",
        )
    elif done.kept is not None:
        _say(
            f"旧的主密钥留在 {done.kept}，旧的数据库备份要用它",
            f"the one before is kept in {done.kept}: older backups of the database need it",
        )
    return 0


def _tell_losses(losses: Losses) -> None:
    for key in losses.renewed:
        _say(
            f"客户端 {key.client_id}：新密钥 {key.kid}，把新公钥交给签发方（client show-key --client {key.client_id}）",
            f"client {key.client_id}: new key {key.kid}; give its issuer the public half (client show-key)",
        )
    for key in losses.ended:
        _say(
            f"客户端 {key.client_id}：PKCS#1 v1.5 密钥 {key.kid} 已作废（client allow-pkcs1v15 换新的）",
            f"client {key.client_id}: key {key.kid} for PKCS#1 v1.5 ended (client allow-pkcs1v15 gives another)",
        )
    if losses.api_keys:
        _say(
            f"{losses.api_keys} 个 API 密钥已作废，用 api-key add 换新的",
            f"{losses.api_keys} api keys ended; make new ones with api-key add",
        )


def list_audit(settings: Settings, options: argparse.Namespace) -> int:
    rows = _change(
        settings,
        lambda do: management.list_audit(do.session, options.client, offset=0, limit=options.limit),
    )
    _table(
        ("at", "actor", "action", "client", "target", "detail"),
        [
            (
                f"{row.at:%F %T}",
                row.actor,
                row.action,
                row.client_id or "",
                row.target,
                " ".join(f"{key}={value}" for key, value in row.detail.items()),
            )
            for row in rows
        ],
    )
    return 0


# ── what they share ───────────────────────────────────────────────────────────────────────────────────────────────────


class _Do:
    """What an operation gets: its transaction, the vault, the time, and who does it."""

    def __init__(self, services: Services, session: AsyncSession) -> None:
        self.session, self.vault, self.lanes = session, services.vault, services.runtime.lanes
        self.now, self.actor = services.runtime.clock.now(), CLI


def _change(settings: Settings, operation: Callable[[_Do], Awaitable[T]]) -> T:
    """Run an operation in a transaction of its own."""

    async def run() -> T:
        async with open_services(settings) as services, services.database.write() as session:
            return await operation(_Do(services, session))

    return asyncio.run(run())


def _check_new(path: Path | None) -> None:
    """Before there is a key to put there. Raises AlreadyExists, Invalid where no file can be made."""
    if path is None:
        return
    if path.is_symlink() or path.exists():
        raise _there_already(path)
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)):
        raise Invalid(Text(f"文件夹 {path.parent} 不可写", f"the folder {path.parent} cannot be written"))


def _there_already(path: Path) -> AlreadyExists:
    return AlreadyExists(Text(f"文件 {path} 已存在", f"{path} exists already"))


def _hand_out(text: str, path: Path | None) -> None:
    """Print a public key, or write it where nobody else reads it: whoever has it can be any user of its client."""
    if path is None:
        sys.stdout.write(text.rstrip() + "\n")
    elif not make_secret_file(path, text.rstrip()):
        raise _there_already(path)


def _warn_if_disabled(client: Client) -> None:
    if not client.enabled:
        _say(
            f"客户端 {client.id} 已停用，它的 token 会被拒绝（client enable 启用）",
            f"client {client.id} is disabled and its tokens are refused (client enable)",
        )


def _read_stdin() -> str:
    return sys.stdin.read() if sys.stdin is not None else ""  # `<&-`


def _say(zh: str, en: str) -> None:
    sys.stderr.write(printable(f"{zh} / {en}") + "\n")


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns side by side; a Chinese character is two wide."""
    lines = [[printable(str(cell)) for cell in row] for row in (head, *rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _width(text: str) -> int:
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in text)
