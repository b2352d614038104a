"""What has had its time goes, all of it, and nothing else."""

import asyncio
import io
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from server import worker
from server.auth.demo import Demo
from server.auth.models import AuthSession, SSOState, Ticket, TokenUse, User
from server.auth.policy import Policy
from server.auth.principal import Principal
from server.auth.sessions import issue_ticket
from server.auth.sso_states import begin
from server.auth.users import DEMO_CLIENT
from server.chat.housekeeping import Housekeeping
from server.chat.models import Message, Session
from server.chat.session_files import SessionFiles
from server.core.errors import TooManyRequests
from server.core.settings import Settings
from server.kb.models import KnowledgeBase
from server.kb.uploads import Upload
from server.services import Services
from tests.auth.conftest import World

DAY, MINUTE = timedelta(hours=24), timedelta(minutes=1)


async def _count(world: World, table: type, *conditions: Any) -> int:
    async with world.database.read() as session:
        return await session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


async def _clean(world: World) -> None:
    await Housekeeping(world.database, world.attachments, world.clock).clean()


def _demo(world: World, **settings: Any) -> Demo:
    process = world.process(**settings)
    auth = world.settings.model_copy(update=settings)
    return Demo(world.database, world.vault, process.signon, process.guard, auth, world.clock, "open sesame")


async def _visit(world: World, cookie: str | None = None) -> tuple[str, str]:
    """Come to the demo; returns the cookie, and the session that the page then has."""
    arrival, cookie = await _demo(world).enter("open sesame", cookie, "192.0.2.7")
    return cookie, await world.process().login(arrival.location.partition("#tk=")[2])


async def _talk(world: World, client_id: str, user_id: str) -> None:
    """A conversation with one message, and a message without a conversation."""
    who, now = {"client_id": client_id, "user_id": user_id}, world.clock.at
    async with world.database.write() as session:
        session.add(Session(id=f"s-{user_id}"[:32], param={}, created_at=now, **who))
        await session.flush()
        for number, conversation in enumerate((f"s-{user_id}"[:32], None)):
            row = {"chat_type": "llm_chat", "model": "m", "query": "q", "docs": [], "trace": {}}
            session.add(
                Message(id=f"{number}-{user_id}"[:32], session_id=conversation, created_at=now, **row, **who)
            )


async def _visitors(world: World) -> list[str]:
    async with world.database.read() as session:
        return list(await session.scalars(select(User.id).where(User.id.startswith("demo-"))))


async def test_what_ended_is_swept_to_the_last(world: World) -> None:
    await world.client("c1", Policy.EXCHANGE)

    async def come(number: int) -> None:
        await world.process().login(world.token("c1"))
        async with world.database.write() as session:
            user = await session.get_one(User, ("c1", "u1"))
            await issue_ticket(session, user, world.clock.at, "token")
            await begin(session, f"{number:032x}", world.clock.at)

    await come(0)
    async with world.database.write() as session:
        uses = [TokenUse(hash=f"{number:064}", uses=1, expires_at=world.clock.at) for number in range(1001)]
        session.add_all(uses)  # more than two portions
    world.clock.at += timedelta(hours=9)
    await come(1)
    tables = (AuthSession, Ticket, SSOState, TokenUse)
    counts = [await _count(world, table) for table in tables]
    assert counts == [2, 2, 2, 1003], "nobody's login waits for that"
    await _clean(world)
    assert [await _count(world, table) for table in tables] == [1, 1, 1, 1]


async def test_a_visitor_of_the_demo_is_forgotten_a_day_after_the_last_call(world: World) -> None:
    await world.client(DEMO_CLIENT, Policy.COMPAT)
    cookie, login = await _visit(world)
    (visitor,) = await _visitors(world)
    # Somebody whom the demo client's issuer vouches for, and a visitor's namesake elsewhere.
    await world.client("c1", Policy.COMPAT)
    for client in (DEMO_CLIENT, "c1"):
        for user in ("DEMO-1", "demo", visitor if client == "c1" else "alice"):
            await world.process().user(world.token(client, user))
    for client, user in ((DEMO_CLIENT, visitor), (DEMO_CLIENT, "alice"), ("c1", "demo")):
        await _talk(world, client, user)

    world.clock.at += timedelta(minutes=20)
    assert (await world.process().user(login)).user_id == visitor, "a call counts as well as an arrival"
    world.clock.at += DAY - MINUTE
    await _clean(world)
    assert await _count(world, User, User.id == visitor, User.client_id == DEMO_CLIENT) == 1
    assert await _count(world, Message, Message.user_id == visitor) == 2
    world.clock.at += MINUTE
    await _clean(world)
    assert await _count(world, User, User.client_id == DEMO_CLIENT) == 3, "the visitor alone went"
    assert await _count(world, User, User.client_id == "c1") == 3
    assert await _count(world, Message, Message.user_id == visitor) == 0
    assert await _count(world, Session, Session.user_id == visitor) == 0
    assert await _count(world, Message) == 4
    assert await _count(world, Session) == 2
    (row,) = [row for row in await world.audit() if row.action == "visitors.delete"]
    assert (row.client_id, row.detail) == (DEMO_CLIENT, {"visitors": 1})

    await _visit(world, cookie)
    assert await _visitors(world) != [visitor], "who comes back then is another"


async def test_a_visitors_files_go_too(world: World, services: Services) -> None:
    await world.client(DEMO_CLIENT, Policy.COMPAT)
    await _visit(world)
    (visitor,) = await _visitors(world)
    caller = Principal(DEMO_CLIENT, visitor, "", frozenset())
    await _talk(world, DEMO_CLIENT, visitor)
    files = SessionFiles(world.database, world.attachments, services.settings)
    async with world.database.read() as session:
        conversation = await session.scalar(select(Session.id)) or ""
    await files.add(caller, conversation, [Upload("a.txt", 1, io.BytesIO(b"x"))])
    folders = services.settings.server.data_dir
    assert len(list(folders.glob("kb_*"))) == await _count(world, KnowledgeBase) == 1
    world.clock.at += DAY + MINUTE
    await _clean(world)
    assert len(list(folders.glob("kb_*"))) == await _count(world, KnowledgeBase) == 0


async def test_who_comes_back_within_a_day_stays(world: World) -> None:
    await world.client(DEMO_CLIENT, Policy.COMPAT)
    cookie, _ = await _visit(world)
    before = await _visitors(world)
    for _ in range(3):
        world.clock.at += DAY - MINUTE
        cookie, _ = await _visit(world, cookie)
        await _clean(world)
    assert await _visitors(world) == before


async def test_many_visitors_go_to_the_last(world: World) -> None:
    await world.client(DEMO_CLIENT)
    async with world.database.write() as session:
        ids = [
            f"demo-{number:032x}" for number in range(101)
        ]  # more than two portions; from before `seen_at` was kept
        session.add_all(
            [User(client_id=DEMO_CLIENT, id=visitor, created_at=world.clock.at) for visitor in ids]
        )
    world.clock.at += DAY - MINUTE
    await _clean(world)
    assert len(await _visitors(world)) == 101
    world.clock.at += MINUTE
    await _clean(world)
    assert await _visitors(world) == []


@pytest.mark.parametrize("setting", ["demo_users_per_hour", "max_demo_users"])
async def test_the_demo_has_a_small_quota_of_its_own(world: World, setting: str) -> None:
    assert (world.settings.demo_users_per_hour, world.settings.max_demo_users) == (200, 5000)
    await world.client(DEMO_CLIENT)
    demo = _demo(world, new_users_per_hour=1, max_users=1, **{setting: 2})
    cookies = [(await demo.enter("open sesame", None, ""))[1] for _ in range(2)]
    with pytest.raises(TooManyRequests, match=setting):
        await demo.enter("open sesame", None, "")
    await demo.enter("open sesame", cookies[0], "")
    world.clock.at += timedelta(hours=1)
    if setting == "demo_users_per_hour":
        await demo.enter("open sesame", None, "")


async def test_a_worker_begins_with_it(settings: Settings, world: World) -> None:
    await world.client(DEMO_CLIENT)
    world.clock.at -= 2 * DAY
    await _visit(world)
    running = asyncio.create_task(worker.run(settings))
    try:
        async with asyncio.timeout(60):
            while await _visitors(world) or await _count(world, AuthSession):
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait({running})
