"""An answer is given once and cannot be had again: to store it is worth waiting for a database that is held, full or away."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from server.core.errors import Busy, StorageFull
from server.core.tasks import BackgroundTasks

log = logging.getLogger(__name__)

# Seconds between two tries. A try by itself waits `[database] lock_timeout` for a lock.
PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)


async def keep_trying(
    store: Callable[[], Awaitable[None]], tasks: BackgroundTasks, pauses: Sequence[float] = PAUSES
) -> None:
    """Call `store` until the database takes it; at the end of the process only once more.

    Raises Busy, StorageFull when that does not help, and other faults at once.
    """
    for number, pause in enumerate(pauses, start=1):
        is_last = tasks.ending.is_set()
        try:
            return await store()
        except (Busy, StorageFull) as error:
            if is_last:
                raise
            log.warning("answer not stored yet", extra={"reason": error.code, "tries": number})
            await tasks.pause(pause)
    return await store()
