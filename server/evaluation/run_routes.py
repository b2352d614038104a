"""HTTP: runs over question sets, their results, comparisons and reports."""

from typing import Annotated, Any, Literal

from fastapi import Query, Response
from fastapi.responses import HTMLResponse

from server.auth.deps import Editor
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Language, Text
from server.core.pagination import Page, PageParams
from server.evaluation.deps import EvaluationDep
from server.evaluation.models import Result, Run
from server.evaluation.report import HEADERS
from server.evaluation.run_repository import Of
from server.evaluation.schemas import (
    CompareRuns,
    ComparisonOut,
    HitOut,
    Id32,
    Progress,
    ResultFilter,
    ResultOut,
    RunOut,
    StartRun,
)
from server.evaluation.wish import Wish
from server.kb.anchors import describe_place

router = new_router(tags=["Evaluation"])
_AT = "/knowledge_base/evaluation/runs"


class _OfSet(PageParams):
    set_id: Id32


@router.post(_AT, status_code=202)
async def start_run(
    caller: Editor, evaluation: EvaluationDep, body: StartRun, language: Lang
) -> Envelope[Progress]:
    """Begin a run over the questions as they stand now; the worker does it. 409 `cost_not_accepted` with calls and tokens in
    `data`, when a language model would answer and `accept_cost` is not set."""
    wish = Wish(
        body.top_k,
        body.score_threshold,
        body.model_name,
        body.prompt_name,
        tuple(body.tags),
        body.settings.model_dump(exclude_none=True),
    )
    run = await evaluation.runs.start(caller, body.set_id, wish, body.name, accept_cost=body.accept_cost)
    return Envelope(code=202, data=Progress(**_progress(run, language)))


@router.get(_AT)
async def list_runs(
    caller: Editor, evaluation: EvaluationDep, wanted: Annotated[_OfSet, Query()], language: Lang
) -> Envelope[Page[Progress]]:
    """The newest first."""
    rows, total = await evaluation.runs.list_all(
        caller, wanted.set_id, offset=wanted.offset, limit=wanted.page_size
    )
    items = [Progress(**_progress(row, language)) for row in rows]
    return Envelope(data=Page(items=items, total=total, page=wanted.page, page_size=wanted.page_size))


@router.get("/knowledge_base/evaluation/compare")
async def compare_runs(
    caller: Editor, evaluation: EvaluationDep, wanted: Annotated[CompareRuns, Query()], language: Lang
) -> Envelope[ComparisonOut]:
    """What `other` does better and worse than `base`, over the questions that both asked."""
    found = await evaluation.runs.compare(caller, wanted.base, wanted.other)
    base, other = _run_out(found.base, language), _run_out(found.other, language)
    return Envelope(data=ComparisonOut(base=base, other=other, **found.told))


@router.get(f"{_AT}/{{run_id}}")
async def get_run(
    caller: Editor, evaluation: EvaluationDep, run_id: Id32, language: Lang
) -> Envelope[RunOut]:
    return Envelope(data=_run_out(await evaluation.runs.get(caller, run_id), language))


@router.get(f"{_AT}/{{run_id}}/results")
async def list_results(
    caller: Editor,
    evaluation: EvaluationDep,
    run_id: Id32,
    wanted: Annotated[ResultFilter, Query()],
    language: Lang,
) -> Envelope[Page[ResultOut]]:
    """What became of each question so far."""
    look = evaluation.runs.worst if wanted.order == "worst" else evaluation.runs.results
    rows, total = await look(caller, run_id, only=wanted.only, offset=wanted.offset, limit=wanted.page_size)
    items = [_result_out(row, language) for row in rows]
    return Envelope(data=Page(items=items, total=total, page=wanted.page, page_size=wanted.page_size))


@router.post(f"{_AT}/{{run_id}}/cancel")
async def cancel_run(
    caller: Editor, evaluation: EvaluationDep, run_id: Id32, language: Lang
) -> Envelope[Progress]:
    """What is measured stays. One that has ended stays as it is."""
    return Envelope(data=Progress(**_progress(await evaluation.runs.cancel(caller, run_id), language)))


@router.post(f"{_AT}/{{run_id}}/delete")
async def delete_run(caller: Editor, evaluation: EvaluationDep, run_id: Id32) -> Envelope[None]:
    await evaluation.runs.delete(caller, run_id)
    return Envelope(data=None)


@router.get(f"{_AT}/{{run_id}}/report", response_class=HTMLResponse)
async def get_report(
    caller: Editor,
    evaluation: EvaluationDep,
    run_id: Id32,
    language: Lang,
    base: Id32 | None = None,
    lang: Literal["zh", "en"] | None = None,
) -> Response:
    """A run that is done as one HTML page, to read, print and send on; with `base`, against that run."""
    page = await evaluation.reports.write(caller, run_id, base, lang or language)
    return HTMLResponse(page, headers=HEADERS)


def _progress(run: Run, language: Language) -> dict[str, Any]:
    reason = None if run.error_text is None else Text(**run.error_text).in_language(language)
    return {
        "run_id": run.id,
        "set_id": run.set_id,
        "name": run.name,
        "state": run.state,
        "done": run.done,
        "total": run.total,
        "percent": run.percent,
        "wish": run.wish,
        "values": (run.summary or {}).get("values", {}),
        "error_code": run.error_code,
        "reason": reason,
        "create_time": run.created_at,
        "start_time": run.started_at,
        "finish_time": run.finished_at,
    }


def _run_out(found: Of, language: Language) -> RunOut:
    run, row, kb = found
    return RunOut(
        **_progress(run, language),
        knowledge_base_name=kb.name,
        set_name=row.name,
        conditions=run.conditions,
        summary=run.summary,
    )


def _result_out(row: Result, language: Language) -> ResultOut:
    return ResultOut(
        number=row.number,
        question_id=row.question_id,
        asked=row.asked,
        ranks=row.ranks,
        hits=[_hit_out(hit, language) for hit in row.hits],
        lost=row.lost,
        answer=row.answer,
        outcome=row.outcome,
        contains_gold=row.contains_gold,
        cited=row.cited,
        cited_gold=row.cited_gold,
        checked=row.checked,
        verified=row.verified,
        error_code=row.error_code,
        milliseconds=row.milliseconds,
    )


def _hit_out(hit: dict[str, Any], language: Language) -> HitOut:
    place = describe_place(hit["file_name"], hit["anchor"], language)
    return HitOut(place=place, **{name: value for name, value in hit.items() if name != "anchor"})
