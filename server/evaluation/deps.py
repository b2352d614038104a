"""What the routes of evaluation take from the application."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from server.chat.service import ChatService
from server.core.runtime import Runtime
from server.db.session import Database
from server.evaluation.reports import Reports
from server.evaluation.runs import Runs
from server.evaluation.service import QuestionSets
from server.evaluation.taking import Taking


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Stands in `app.state.evaluation`."""

    sets: QuestionSets
    taking: Taking
    runs: Runs
    reports: Reports

    @classmethod
    def over(cls, database: Database, chat: ChatService, runtime: Runtime) -> "Evaluation":
        sets = QuestionSets(database, runtime)
        runs = Runs(database, chat, runtime)
        return cls(sets, Taking(database, sets), runs, Reports(runs, runtime.lanes))


async def _evaluation(request: Request) -> Evaluation:
    return cast("Evaluation", request.app.state.evaluation)


EvaluationDep = Annotated[Evaluation, Depends(_evaluation)]
