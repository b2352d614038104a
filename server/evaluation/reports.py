"""Reports of runs that are done, for their editors."""

from server.auth.principal import Principal
from server.core.errors import Invalid
from server.core.i18n import Language, Text
from server.core.threads import Lanes
from server.evaluation.models import RunState
from server.evaluation.report import render_comparison, render_run
from server.evaluation.runs import Runs


class Reports:
    """Writes them."""

    def __init__(self, runs: Runs, lanes: Lanes) -> None:
        self._runs, self._lanes = runs, lanes

    async def write(self, caller: Principal, run_id: str, base_id: str | None, language: Language) -> str:
        """HTML of a run, or of what it does better than another. Raises RunNotFound, Invalid while it is not done."""
        if base_id is not None:
            comparison = await self._runs.compare(caller, base_id, run_id)
            return await self._lanes.run("io", render_comparison, comparison, language)
        found = await self._runs.get(caller, run_id)
        if found[0].state != RunState.DONE:
            raise Invalid(Text("评测还没有完成，没有报告", "a run that is not done has no report"))
        results, _ = await self._runs.results(caller, run_id)
        return await self._lanes.run("io", render_run, found, results, language)
