"""Clients with their keys, and their people, from a chat2llm of old."""

from sqlalchemy.exc import StatementError
from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import client_keys
from server.auth import repository as identities
from server.auth.api_token import CLIENT_ID
from server.auth.audit import CLI
from server.auth.models import Client, User
from server.auth.policy import Policy
from server.auth.principal import Role
from server.auth.service import NewClient, add_client
from server.auth.users import DEMO_CLIENT
from server.cli.old_database import Row, is_on, text_of, time_of
from server.cli.taking import Taking, reason_of
from server.core.errors import AlreadyExists, AppError, Invalid
from server.core.i18n import Text

_PRIVATE = "PRIVATE KEY-----"
_KEY_COLUMNS = ("client_secret", "client_key")


class People:
    """Takes clients first, then users."""

    def __init__(self, taking: Taking) -> None:
        self._taking, self._report = taking, taking.report

    async def client(self, row: Row) -> None:
        client_id = text_of(row.get("id"))
        if not CLIENT_ID.fullmatch(client_id):
            self._report.refuse("clients", client_id, "this id cannot be one here")
            return
        try:
            async with self._taking.services.database.write() as session:
                outcome = await self._take(session, row, client_id)
        except AppError as error:
            self._report.refuse("clients", client_id, error.text.en)
        except StatementError as error:
            self._report.refuse("clients", client_id, reason_of(error))
        else:
            self._report.count("clients", outcome)
            self._taking.clients.add(client_id)

    async def _take(self, session: AsyncSession, row: Row, client_id: str) -> str:
        """Returns what became of it. Raises AppError."""
        known = await identities.find_client(session, client_id)
        if known is None:
            await self._add_client(session, row, client_id)
            return "taken"
        if client_id == DEMO_CLIENT:  # every installation has its own
            await self._keep_key(session, row)
        elif not await self._is_the_same(session, known, row):
            raise AlreadyExists(
                Text("已有另一个同编号的客户端", "another client has this id; nothing of it is taken")
            )
        return "there already"

    async def _add_client(self, session: AsyncSession, row: Row, client_id: str) -> None:
        vault, now = self._taking.services.vault, self._taking.now
        new = NewClient(client_id, text_of(row.get("description"), 100), Policy.COMPAT)
        try:
            key = await client_keys.import_client(
                session, vault, CLI, new, _private_key(row), now, allow_weak=True
            )
        except Invalid as error:
            await add_client(session, vault, new, now)
            self._report.note(
                f"client {client_id}: its key cannot be used ({error.text.en}); it has a new one, see client show-key"
            )
        else:
            if key.retire_at is not None:
                self._report.note(
                    f"client {client_id}: its key is weak and ends on {key.retire_at:%F}; replace it before with client rotate"
                )
        client = await session.get_one(Client, client_id)
        client.enabled, client.created_at = is_on(row), time_of(row.get("create_time"), now)

    async def _keep_key(self, session: AsyncSession, row: Row) -> None:
        """Tokens made with the demo client's key of old stay good, where they can be nobody else here."""
        vault, now = self._taking.services.vault, self._taking.now
        lost = "tokens made with it are refused, the new key is told by client show-key"
        if (pem := _private_key(row)) == "":
            self._report.note(f"client {DEMO_CLIENT}: its key of old is not in the database; {lost}")
            return
        try:
            known = await client_keys.find_rsa_key(session, DEMO_CLIENT, pem)
            users, _ = await identities.count_users(session, DEMO_CLIENT, now)
            if known is None and users:
                self._report.note(
                    f"client {DEMO_CLIENT}: it has users here already, whom holders of its key of old could pass for, so that "
                    f"this key is not taken; {lost}"
                )
                return
            key = known or await client_keys.keep_old_key(session, vault, CLI, DEMO_CLIENT, pem, now)
        except Invalid as error:
            self._report.note(
                f"client {DEMO_CLIENT}: its key of old cannot be used ({error.text.en}); {lost}"
            )
            return
        if key.retire_at is not None and key.retire_at > now:
            self._report.note(
                f"client {DEMO_CLIENT}: its key of old is taken beside the new one, and tokens made with it are good until "
                f"{key.retire_at:%F}; give its issuer the new one before (client show-key)"
            )

    async def _is_the_same(self, session: AsyncSession, known: Client, row: Row) -> bool:
        """Was it taken from there before? Its key may have been changed since."""
        columns = [text_of(row.get(column)) for column in _KEY_COLUMNS]
        publics = {"".join(key.public_pem.split()) for key in await identities.list_keys(session, known.id)}
        is_its_key = any("".join(column.split()) in publics for column in columns)
        return is_its_key or known.created_at == time_of(row.get("create_time"), self._taking.now)

    async def user(self, session: AsyncSession, row: Row) -> None:
        client_id, user_id = text_of(row.get("client_id")), text_of(row.get("user_id"))
        what = f"{client_id}/{user_id}"
        if client_id not in self._taking.clients:
            self._report.refuse("users", what, "its client was not taken")
        elif not 1 <= len(user_id) <= 64:
            self._report.refuse("users", what, "a user id has 1 to 64 characters")
        elif await identities.find_user(session, client_id, user_id) is not None:
            self._report.count("users", "there already")
        else:
            user = User(
                client_id=client_id,
                id=user_id,
                username=text_of(row.get("username"), 64),
                role=Role.READER,
                enabled=is_on(row),
                created_at=time_of(row.get("create_time"), self._taking.now),
            )
            await self._taking.insert(session, "users", what, user)


def _private_key(row: Row) -> str:
    return next(
        (text_of(row[key]) for key in _KEY_COLUMNS if _PRIVATE in text_of(row.get(key))),
        "",
    )
