"""HTTP: question sets and their questions."""

from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Form, Query, Response

from server.auth.deps import Editor
from server.core.http import Envelope, Lang, new_router
from server.core.pagination import Page
from server.evaluation.deps import EvaluationDep
from server.evaluation.models import GoldQuestion
from server.evaluation.question import NewQuestion
from server.evaluation.schemas import (
    CreateSet,
    Deleted,
    DeleteQuestions,
    Id32,
    ImportForm,
    OfSet,
    QuestionFilter,
    QuestionOut,
    RatedFilter,
    RatedOut,
    RenameSet,
    SaveQuestion,
    SetOut,
    TakeAnswer,
    TakeHit,
)
from server.evaluation.taking import Rated
from server.kb.csv_import import ImportOut, import_out, read_csv

router = new_router(tags=["Evaluation"])
_AT = "/knowledge_base/evaluation"
_CSV: dict[int | str, dict[str, Any]] = {200: {"description": "The set as CSV", "content": {"text/csv": {}}}}


@router.post(f"{_AT}/sets")
async def create_set(caller: Editor, evaluation: EvaluationDep, body: CreateSet) -> Envelope[SetOut]:
    """A new question set of a knowledge base; its name is unique there."""
    row = await evaluation.sets.create(caller, body.knowledge_base_name, body.name)
    out = SetOut(set_id=row.id, name=row.name, questions=0, runs=0, create_time=row.created_at)
    return Envelope(data=out)


@router.get(f"{_AT}/sets")
async def list_sets(
    caller: Editor, evaluation: EvaluationDep, knowledge_base_name: str
) -> Envelope[list[SetOut]]:
    """The newest first; a knowledge base has 50 at most."""
    rows = await evaluation.sets.list_all(caller, knowledge_base_name)
    return Envelope(
        data=[
            SetOut(set_id=row.id, name=row.name, questions=questions, runs=runs, create_time=row.created_at)
            for row, questions, runs in rows
        ]
    )


@router.post(f"{_AT}/sets/rename")
async def rename_set(caller: Editor, evaluation: EvaluationDep, body: RenameSet) -> Envelope[None]:
    await evaluation.sets.rename(caller, body.set_id, body.name)
    return Envelope(data=None)


@router.post(f"{_AT}/sets/delete")
async def delete_set(caller: Editor, evaluation: EvaluationDep, body: OfSet) -> Envelope[None]:
    """With its questions and its runs."""
    await evaluation.sets.delete(caller, body.set_id)
    return Envelope(data=None)


@router.get(f"{_AT}/questions")
async def list_questions(
    caller: Editor, evaluation: EvaluationDep, wanted: Annotated[QuestionFilter, Query()]
) -> Envelope[Page[QuestionOut]]:
    """In the order in which they came."""
    rows, total = await evaluation.sets.list_questions(
        caller, wanted.set_id, wanted.q, offset=wanted.offset, limit=wanted.page_size
    )
    items = [_question_out(row) for row in rows]
    return Envelope(data=Page(items=items, total=total, page=wanted.page, page_size=wanted.page_size))


@router.post(f"{_AT}/questions")
async def save_question(
    caller: Editor, evaluation: EvaluationDep, body: SaveQuestion
) -> Envelope[QuestionOut]:
    """Add a question, or with `question_id` say one anew, all of it. Runs keep what they asked."""
    new = NewQuestion(body.question, **body.given())
    if body.question_id is None:
        row = await evaluation.sets.add(caller, body.set_id, new)
    else:
        row = await evaluation.sets.change(caller, body.set_id, body.question_id, new)
    return Envelope(data=_question_out(row))


@router.post(f"{_AT}/questions/delete")
async def delete_questions(
    caller: Editor, evaluation: EvaluationDep, body: DeleteQuestions
) -> Envelope[Deleted]:
    count = await evaluation.sets.delete_questions(caller, body.set_id, body.question_ids)
    return Envelope(data=Deleted(deleted=count))


@router.get(f"{_AT}/rated_answers")
async def list_rated_answers(
    caller: Editor, evaluation: EvaluationDep, wanted: Annotated[RatedFilter, Query()]
) -> Envelope[Page[RatedOut]]:
    """Answers about the set's knowledge base that people liked, or did not, the newest rating first: `questions/from_answer`."""
    rows, total = await evaluation.taking.list_rated(
        caller, wanted.set_id, wanted.rating, offset=wanted.offset, limit=wanted.page_size
    )
    items = [_rated_out(row) for row in rows]
    return Envelope(data=Page(items=items, total=total, page=wanted.page, page_size=wanted.page_size))


@router.post(f"{_AT}/questions/from_answer")
async def take_answer(caller: Editor, evaluation: EvaluationDep, body: TakeAnswer) -> Envelope[QuestionOut]:
    """The question of a rated answer. A liked one's citations are its gold; a disliked one needs the editor's, and without it
    nobody has said what should be found."""
    row = await evaluation.taking.take_answer(caller, body.set_id, body.message_id, body.given())
    return Envelope(data=_question_out(row))


@router.post(f"{_AT}/questions/from_hit")
async def take_hit(caller: Editor, evaluation: EvaluationDep, body: TakeHit) -> Envelope[QuestionOut]:
    """A question of a hit test, with the passage that should be found for it."""
    row = await evaluation.taking.take_hit(caller, body.set_id, body.question, body.chunk_id, body.given())
    return Envelope(data=_question_out(row))


@router.post(f"{_AT}/import")
async def import_questions(
    caller: Editor,
    evaluation: EvaluationDep,
    form: Annotated[ImportForm, Form(media_type="multipart/form-data")],
    language: Lang,
) -> Envelope[ImportOut]:
    """Questions from a CSV file. What is there already is brought up to date; a row that cannot be taken is told."""
    done = await evaluation.sets.import_csv(caller, form.set_id, await read_csv(form.file))
    return Envelope(data=import_out(done, language))


@router.get(f"{_AT}/export", response_class=Response, responses=_CSV)
async def export_questions(caller: Editor, evaluation: EvaluationDep, set_id: Id32) -> Response:
    """The set as `import` takes it. No cell is a formula for Excel."""
    name, data = await evaluation.sets.export_csv(caller, set_id)
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.csv"}
    return Response(data, media_type="text/csv; charset=utf-8", headers=headers)


def _question_out(row: GoldQuestion) -> QuestionOut:
    return QuestionOut(
        question_id=row.id,
        question=row.question,
        gold_answer=row.gold_answer,
        gold_files=row.gold_files,
        gold_passage=row.gold_passage,
        answerable=row.answerable,
        tags=row.tags,
        origin=row.origin,
        message_id=row.message_id,
        create_time=row.created_at,
    )


def _rated_out(rated: Rated) -> RatedOut:
    row = rated.message
    return RatedOut(
        message_id=row.id,
        query=row.query,
        response=row.response,
        score=row.feedback_score or 0,
        reason=row.feedback_reason,
        outcome=row.outcome,
        taken=rated.is_taken,
        time=row.feedback_at or row.created_at,
    )
