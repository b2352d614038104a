"""Sessions in the signature of a route. `scope="function"`: the commit happens before the answer is sent, so that a
commit which fails is an error and not a lie."""

from collections.abc import AsyncIterator
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from server.db.session import Database


async def _read(request: Request) -> AsyncIterator[AsyncSession]:
    async with cast("Database", request.app.state.database).read() as session:
        yield session


async def _write(request: Request) -> AsyncIterator[AsyncSession]:
    async with cast("Database", request.app.state.database).write() as session:
        yield session


ReadSession = Annotated[AsyncSession, Depends(_read, scope="function")]
WriteSession = Annotated[AsyncSession, Depends(_write, scope="function")]
