"""`user …` and `session …`: the people whom clients vouch for, and their logins."""

import argparse
from typing import Any

from server.auth import management
from server.auth.principal import Role
from server.cli.arguments import group_of, of_client
from server.cli.operation import change
from server.cli.output import say, table
from server.core.errors import Invalid
from server.core.i18n import Text
from server.core.settings import Settings


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    _user_commands(group_of(commands, "user", "the people whom clients vouch for"))
    _session_commands(group_of(commands, "session", "logins"))


def _user_commands(group: Any) -> None:
    of_client(group, "list", "a client's users", list_users)
    for name, words, enabled in (
        ("disable", "refuse a person; ends their sessions", False),
        ("enable", "let them in again", True),
    ):
        change = of_client(group, name, words, enable_user)
        change.set_defaults(enabled=enabled)
        change.add_argument("--user", required=True)
    role = of_client(group, "role", "what they may do", set_role)
    role.add_argument("--user", required=True)
    role.add_argument("role", choices=[str(role) for role in Role])


def _session_commands(group: Any) -> None:
    listing = of_client(group, "list", "the sessions of a client or of one user", list_sessions)
    listing.add_argument("--user")
    end = of_client(group, "end", "end one session, or all of a user or client", end_sessions)
    end.add_argument("--user")
    end.add_argument("--session", metavar="ID", help="see `session list`")
    end.add_argument("--all", action="store_true", help="all of the client")


def list_users(settings: Settings, options: argparse.Namespace) -> int:
    users, total = change(settings, lambda do: management.list_users(do.session, options.client, limit=1000))
    table(
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
        say(f"共 {total} 个，显示前 {len(users)} 个", f"{total} in all, the first {len(users)} are shown")
    return 0


def enable_user(settings: Settings, options: argparse.Namespace) -> int:
    change(
        settings,
        lambda do: management.set_user_enabled(
            do.session, do.actor, options.client, options.user, enabled=options.enabled, now=do.now
        ),
    )
    say(
        f"用户 {options.user} 已{'启用' if options.enabled else '禁用'}",
        "enabled" if options.enabled else "disabled",
    )
    return 0


def set_role(settings: Settings, options: argparse.Namespace) -> int:
    role = Role(options.role)
    change(
        settings,
        lambda do: management.set_role(do.session, do.actor, options.client, options.user, role, do.now),
    )
    say(f"用户 {options.user} 的角色为 {role}", f"the role of {options.user} is {role}")
    return 0


def list_sessions(settings: Settings, options: argparse.Namespace) -> int:
    rows = change(
        settings,
        lambda do: management.list_sessions(do.session, options.client, options.user, settings.auth, do.now),
    )
    table(
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
    ended = change(
        settings,
        lambda do: management.end_logins(
            do.session, do.actor, options.client, options.user, do.now, options.session
        ),
    )
    say(f"已结束 {ended} 个登录会话", f"sessions ended: {ended}")
    return 0
