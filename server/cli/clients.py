"""`client …`: the systems that vouch for their users, and their keys."""

import argparse
import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from server.auth import client_keys, management, service
from server.auth.client_keys import Rotation
from server.auth.models import Client, ClientKey
from server.auth.policy import Policy
from server.cli.arguments import command, group_of, of_client
from server.cli.operation import Do, change
from server.cli.output import check_new, hand_out, say, table, warn_if_disabled
from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.settings import Settings


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    group = group_of(commands, "client", "systems that vouch for their users")
    add = command(group, "add", "add a client; prints the public key for its issuer", add_client)
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
    command(group, "list", "all clients with their keys", list_clients)
    show = of_client(group, "show-key", "print the public key again; a look is noted in the audit", show_key)
    show.add_argument("--out", type=Path, metavar="FILE", help="write the public key to a new file")
    rotate = of_client(group, "rotate", "give a client a new key; prints its public half", rotate_key)
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
    revoke = of_client(group, "revoke", "end a key now, and every session of the client", revoke_key)
    revoke.add_argument("--key", required=True, metavar="KID", help="its name, see `client list`")
    of_client(
        group, "disable", "refuse the client and all its users; ends their sessions", enable_client
    ).set_defaults(enabled=False)
    of_client(group, "enable", "let it in again", enable_client).set_defaults(enabled=True)
    change = of_client(group, "policy", "change what its tokens are good for", set_policy)
    change.add_argument("policy", **policy)
    option = of_client(
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
    register = of_client(
        group, "add-signing-key", "register its own public key, for signed tokens", add_signing_key
    )
    register.add_argument("file", type=Path, help="a public key in PEM: Ed25519, P-256 or RSA")
    register.add_argument(
        "--key", metavar="KID", help="the name that its tokens carry (default: the next one)"
    )
    of_client(
        group,
        "allow-pkcs1v15",
        "for an issuer that cannot do OAEP: a key pair of its own; prints it",
        allow_pkcs1v15,
    )
    frames = of_client(
        group, "frame-ancestors", "the sites that may show our page in a frame", set_frame_ancestors
    )
    frames.add_argument(
        "origins",
        nargs="*",
        metavar="ORIGIN",
        help="https://HOST[:PORT], or http:// within an intranet; no wildcards; none: only this server's own pages",
    )


def add_client(settings: Settings, options: argparse.Namespace) -> int:
    check_new(options.out)
    new = service.NewClient(options.id, options.description, Policy(options.policy))
    if options.key is not None:
        return _import_client(settings, options, new)
    public_key = change(
        settings,
        lambda do: service.add_client(do.session, do.vault, new, do.now),
    )
    hand_out(public_key, options.out)
    say(
        f"客户端 {options.id} 已添加。公钥只交给它的服务端保管",
        "keep the public key on the issuer's server only",
    )
    return 0


def _import_client(settings: Settings, options: argparse.Namespace, new: service.NewClient) -> int:
    pem = options.key.read_text(encoding="ascii", errors="replace")
    key = change(
        settings,
        lambda do: client_keys.import_client(
            do.session, do.vault, do.actor, new, pem, do.now, allow_weak=options.allow_weak_key
        ),
    )
    hand_out(key.public_pem, options.out)
    say(f"客户端 {new.id} 已添加，沿用原来的密钥", f"client {new.id} is added, with the key it had")
    if key.retire_at is not None:
        say(
            f"这把密钥太弱，{key.retire_at:%F} 停用；在那之前用 client rotate 换新的",
            f"this key is weak and ends on {key.retire_at:%F}; replace it before with client rotate",
        )
    return 0


def list_clients(settings: Settings, _options: argparse.Namespace) -> int:
    async def read(do: Do) -> list[Sequence[object]]:
        rows: list[Sequence[object]] = []
        for client in await management.list_clients(do.session):
            keys = await client_keys.list_keys(do.session, client.id)
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
    table(head, change(settings, read))
    return 0


def _shown_key(key: ClientKey, now: datetime) -> str:
    end = (
        f" until {key.retire_at:%F %R} UTC" if (state := client_keys.state_of(key, now)) == "retiring" else ""
    )
    return f"{key.kid} ({key.kind}, {state}{end})"


def show_key(settings: Settings, options: argparse.Namespace) -> int:
    check_new(options.out)

    async def show(do: Do) -> tuple[str, Client]:
        key = await client_keys.show_key(do.session, do.actor, options.client, do.now)
        return key.public_pem, await management.get_client(do.session, options.client)

    public_pem, client = change(settings, show)
    hand_out(public_pem, options.out)
    warn_if_disabled(client)
    return 0


def rotate_key(settings: Settings, options: argparse.Namespace) -> int:
    check_new(options.out)
    days = options.overlap_days
    if days is not None and not 0 <= days <= 365:
        raise Invalid(Text("--overlap-days 应在 0 到 365 之间", "--overlap-days is between 0 and 365"))
    overlap = settings.auth.key_overlap if days is None else timedelta(days=days)

    async def rotate(do: Do) -> tuple[ClientKey, list[ClientKey]]:
        rotation = Rotation(overlap, force=options.force)
        key = await client_keys.rotate_key(do.session, do.vault, do.actor, options.client, rotation, do.now)
        return key, await client_keys.retiring_keys(do.session, options.client, do.now)

    key, retiring = change(settings, rotate)
    hand_out(key.public_pem, options.out)
    zh = "".join(f"；旧密钥 {old.kid} 可用到 {old.retire_at:%F %R} UTC" for old in retiring)
    en = "".join(f"; the old one, {old.kid}, is good until {old.retire_at:%F %R} UTC" for old in retiring)
    say(f"新密钥 {key.kid}{zh}", f"new key {key.kid}{en}")
    return 0


def revoke_key(settings: Settings, options: argparse.Namespace) -> int:
    change(
        settings, lambda do: client_keys.revoke_key(do.session, do.actor, options.client, options.key, do.now)
    )
    say(f"密钥 {options.key} 已作废", f"key {options.key} is revoked")
    return 0


def enable_client(settings: Settings, options: argparse.Namespace) -> int:
    change(
        settings,
        lambda do: management.set_client_enabled(
            do.session, do.actor, options.client, enabled=options.enabled, now=do.now
        ),
    )
    say(
        f"客户端 {options.client} 已{'启用' if options.enabled else '禁用'}",
        "enabled" if options.enabled else "disabled",
    )
    return 0


def set_policy(settings: Settings, options: argparse.Namespace) -> int:
    policy = Policy(options.policy)
    change(settings, lambda do: management.set_policy(do.session, do.actor, options.client, policy, do.now))
    say(f"客户端 {options.client} 的策略为 {policy}", f"the policy of {options.client} is {policy}")
    return 0


def set_options(settings: Settings, options: argparse.Namespace) -> int:
    given = dict(_parse_option(text) for text in options.options)
    change(settings, lambda do: management.set_options(do.session, do.actor, options.client, do.now, **given))
    say(f"客户端 {options.client} 已设置 {' '.join(options.options)}", f"set for {options.client}")
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
    key = change(
        settings,
        lambda do: client_keys.add_signing_key(
            do.session, do.actor, options.client, pem, do.now, options.key
        ),
    )
    say(f"已登记密钥 {key.kid}", f"registered as {key.kid}: the `kid` of its tokens")
    return 0


def allow_pkcs1v15(settings: Settings, options: argparse.Namespace) -> int:
    key = change(
        settings,
        lambda do: client_keys.allow_pkcs1v15(do.session, do.vault, do.actor, options.client, do.now),
    )
    hand_out(key.public_pem, None)
    say(f"密钥 {key.kid} 仅用于 PKCS#1 v1.5", f"key {key.kid} is for PKCS#1 v1.5 only; prefer OAEP")
    return 0


def set_frame_ancestors(settings: Settings, options: argparse.Namespace) -> int:
    client = change(
        settings,
        lambda do: management.set_frame_ancestors(
            do.session, do.actor, options.client, options.origins, do.now
        ),
    )
    origins = client.frame_ancestors
    say(f"可嵌入页面的来源：本站 {origins}".rstrip(), f"may show our page: this server {origins}".rstrip())
    return 0
