"""`rekey`: a new master key."""

import argparse
import asyncio
from typing import Any

from server.auth.audit import CLI
from server.auth.rekey import Losses, Rekeyed
from server.auth.rekey import rekey as change_master_key
from server.cli.arguments import command
from server.cli.output import say
from server.core.clock import Clock
from server.core.settings import Settings
from server.db.schema import check_schema
from server.db.session import Database


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    again = command(commands, "rekey", "draw a new master key; stop the server before", rekey)
    again.add_argument(
        "--lost",
        action="store_true",
        help="without a backup of the master key: new keys for what does not open any more",
    )
    again.add_argument("--yes-really", action="store_true", help="do it, after reading what --lost ends")


def rekey(settings: Settings, options: argparse.Namespace) -> int:
    if options.lost and not options.yes_really:
        say(
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
    say(f"新的主密钥在 {done.file}，请备份", f"the new master key is in {done.file}: back it up")
    if configured is not None:
        say(
            "启动服务前：把密钥库里 AUTH__MASTER_KEY（[auth] master_key）的值换成这个文件的内容，再启动服务；"
            "旧值要留着，旧的数据库备份要用它",
            "before you start the server: put this file's content in place of AUTH__MASTER_KEY ([auth] master_key) in your "
            "secret store; keep the old value as long as you keep older backups of the database",
        )
    elif done.kept is not None:
        say(
            f"旧的主密钥留在 {done.kept}，旧的数据库备份要用它",
            f"the one before is kept in {done.kept}: older backups of the database need it",
        )
    return 0


def _tell_losses(losses: Losses) -> None:
    for key in losses.renewed:
        say(
            f"客户端 {key.client_id}：新密钥 {key.kid}，把新公钥交给签发方（client show-key --client {key.client_id}）",
            f"client {key.client_id}: new key {key.kid}; give its issuer the public half (client show-key)",
        )
    for key in losses.ended:
        say(
            f"客户端 {key.client_id}：PKCS#1 v1.5 密钥 {key.kid} 已作废（client allow-pkcs1v15 换新的）",
            f"client {key.client_id}: key {key.kid} for PKCS#1 v1.5 ended (client allow-pkcs1v15 gives another)",
        )
    if losses.api_keys:
        say(
            f"{losses.api_keys} 个 API 密钥已作废，用 api-key add 换新的",
            f"{losses.api_keys} api keys ended; make new ones with api-key add",
        )
