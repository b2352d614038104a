"""A value that is good for a while: fetched once for all, again when it is due, and never twice at a time."""

import asyncio

import pytest

from server.core.expiring import Expiring


class Source:
    """Gives out v1, v2, … and fails when told to."""

    def __init__(self, seconds: float = 7200) -> None:
        self.fetches, self.seconds, self.now = 0, seconds, 1000.0
        self.gate = asyncio.Event()
        self.gate.set()
        self.failing = False

    async def fetch(self) -> tuple[str, float]:
        self.fetches += 1
        number = self.fetches
        await self.gate.wait()
        if self.failing:
            raise LookupError
        return f"v{number}", self.seconds

    def expiring(self) -> Expiring:
        return Expiring(self.fetch, lambda: self.now)


async def test_it_is_kept_until_shortly_before_its_end() -> None:
    source = Source()
    value = source.expiring()
    assert await value.get() == "v1"
    source.now += 7200 - 301
    assert await value.get() == "v1"
    source.now += 2
    assert await value.get() == "v2"


async def test_a_short_life_has_a_short_margin() -> None:
    source = Source(seconds=10)
    value = source.expiring()
    await value.get()
    source.now += 8.9
    assert await value.get() == "v1"
    source.now += 0.2
    assert await value.get() == "v2"


async def test_all_who_wait_share_one_fetch() -> None:
    source = Source()
    value = source.expiring()
    source.gate.clear()
    waiting = [asyncio.ensure_future(value.get()) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    source.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == ["v1"] * 19, "one who goes away does not take it from the others"
    assert source.fetches == 1


async def test_what_was_refused_is_replaced_once() -> None:
    source = Source()
    value = source.expiring()
    assert await value.get() == "v1"
    assert await asyncio.gather(*(value.get(instead_of="v1") for _ in range(5))) == ["v2"] * 5
    assert await value.get(instead_of="v1") == "v2", "somebody else has replaced it already"
    assert source.fetches == 2


async def test_a_failure_is_everybodys_and_is_not_kept() -> None:
    source = Source()
    value = source.expiring()
    source.failing = True
    results = await asyncio.gather(*(value.get() for _ in range(5)), return_exceptions=True)
    assert all(isinstance(result, LookupError) for result in results)
    assert source.fetches == 1
    source.failing = False
    assert await value.get() == "v2"


async def test_closing_ends_a_fetch() -> None:
    source = Source()
    value = source.expiring()
    await value.close()
    source.gate.clear()
    waiting = asyncio.ensure_future(value.get())
    await asyncio.sleep(0)
    await value.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
