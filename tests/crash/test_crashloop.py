"""Twenty rounds of it in each run of the suite; 200: make crashloop."""

import random
from pathlib import Path

import pytest

from tests.crash.loop import run

pytestmark = pytest.mark.live


async def test_processes_are_killed_and_nothing_is_lost(tmp_path: Path) -> None:
    await run(tmp_path, rounds=20, seed=random.SystemRandom().randrange(10**6))
