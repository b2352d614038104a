"""The worker looks every hour whether what is kept agrees with what is on disk: what nobody needs is swept, what is missing is told."""

import asyncio
import logging
from collections import Counter
from datetime import timedelta

from server.core.runtime import Runtime
from server.db.session import PASSING_FAULTS, Database, tell_fault
from server.kb.files import FileStore
from server.kb.history import History
from server.kb.package_import import discard_abandoned
from server.kb.sweep import sweep
from server.kb.verify import Verifier

log = logging.getLogger(__name__)

_PERIOD = timedelta(hours=1)


class Reconciling:
    """Runs beside the work on documents. It mends nothing by itself: a disk that is not mounted looks the same as lost files."""

    def __init__(self, database: Database, files: FileStore, runtime: Runtime, history: History) -> None:
        self._database, self._files, self._history = database, files, history
        self._lanes, self._clock = runtime.lanes, runtime.clock
        self._verifier = Verifier(database, files, runtime)

    async def run(self) -> None:
        """Look now and every hour, until cancelled."""
        while True:
            try:
                await self.look()
            except (*PASSING_FAULTS, OSError) as error:
                tell_fault("files were not compared", error, log)
            await asyncio.sleep(_PERIOD.total_seconds())

    async def look(self) -> dict[str, int]:
        """How much of what is wrong."""
        await discard_abandoned(self._database, self._files, self._lanes, self._clock)
        await sweep(self._database, self._files, self._lanes)
        if surplus := await self._history.tidy():
            log.info("versions deleted", extra={"versions": surplus})
        found = Counter([one.code async for one in self._verifier.compare(quick=True) if one.is_fault])
        if found:
            log.warning("something is missing: see `python -m server kb verify`", extra=dict(found))
        return dict(found)
