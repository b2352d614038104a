"""HTTP: recommended questions."""

from typing import Annotated

from fastapi import Form, Query

from server.auth.deps import Chatter, Editor
from server.core.contract import at_most
from server.core.http import Envelope, Lang, new_router
from server.core.pagination import Page
from server.kb.csv_import import ImportOut, import_out, read_csv
from server.kb.deps import KB
from server.kb.question_repository import Found
from server.kb.question_schemas import (
    ImportForm,
    QuestionFilter,
    QuestionOut,
    Saved,
    SaveQuestion,
)

recommend_router = new_router(tags=["Recommend Management"])


@recommend_router.get("/recommend/question")
async def recommend_questions(
    caller: Chatter, kb: KB, num: Annotated[int, Query(ge=1), at_most(50)], kb_name: str | None = None
) -> Envelope[list[QuestionOut]]:
    """Random recommended questions: of any knowledge base, of none (`kb_name=`), or of one."""
    found = await kb.questions.recommend(caller, kb_name, num)
    return Envelope(data=[_question_out(row) for row in found])


@recommend_router.post("/recommend/question")
async def save_question(caller: Editor, kb: KB, body: SaveQuestion) -> Saved:
    """Add a question, or change one; `enable` hides it and shows it again."""
    given = body.model_dump(include=body.model_fields_set - {"question_id"})
    return Saved(data=True, question_id=await kb.questions.save(caller, body.question_id, given))


@recommend_router.get("/recommend/question/list")
async def list_questions(
    caller: Editor, kb: KB, wanted: Annotated[QuestionFilter, Query()]
) -> Envelope[Page[QuestionOut]]:
    """The client's own questions, disabled ones too, the newest first."""
    rows, total = await kb.questions.list_own(
        caller, wanted.kb_name, wanted.q, offset=wanted.offset, limit=wanted.page_size
    )
    items = [_question_out(row) for row in rows]
    return Envelope(data=Page(items=items, total=total, page=wanted.page, page_size=wanted.page_size))


@recommend_router.post("/recommend/question/import")
async def import_questions(
    caller: Editor,
    kb: KB,
    form: Annotated[ImportForm, Form(media_type="multipart/form-data")],
    language: Lang,
) -> Envelope[ImportOut]:
    """Questions from a CSV file. What is there already is brought up to date; a row that cannot be taken is told."""
    done = await kb.questions.import_csv(caller, form.kb_name, await read_csv(form.file))
    return Envelope(data=import_out(done, language))


def _question_out(found: Found) -> QuestionOut:
    row, kb_name = found
    return QuestionOut(
        id=row.id,
        query=row.query,
        kb_name=kb_name,
        answer=row.answer,
        tap_count=row.tap_count,
        enable=row.enabled,
        create_time=row.created_at,
    )
