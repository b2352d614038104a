"""HTTP: the worker's jobs, as those see them who may change the knowledge base."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Query, Response
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event

from server.auth.deps import Editor
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Language, Text
from server.core.pagination import Page
from server.core.sse import EventStream, Stream
from server.kb.deps import JobsDep, Streaming
from server.kb.job_list_repository import Found
from server.kb.job_schemas import JobOut, JobsQuery, RetriedOut, RetryFailed, job_out
from server.kb.jobs import Jobs

router = new_router(tags=["Jobs"])
_EVENTS: dict[int | str, dict[str, Any]] = {
    200: {"description": "`job`: a JobOut; `gone`: {job_id}", "content": {"text/event-stream": {}}}
}


@router.get("/jobs")
async def list_jobs(
    caller: Editor, jobs: JobsDep, query: Annotated[JobsQuery, Query()], language: Lang
) -> Envelope[Page[JobOut]]:
    """What the worker has done, does and will do, newest first."""
    rows, total = await jobs.list_all(
        caller, query.knowledge_base_name, query.state, offset=query.offset, limit=query.page_size
    )
    items = [_out(jobs, found, language) for found in rows]
    return Envelope(data=Page(items=items, total=total, page=query.page, page_size=query.page_size))


@router.get("/jobs/events", response_class=StreamingResponse, responses=_EVENTS)
async def watch_jobs(
    caller: Editor,
    jobs: JobsDep,
    streaming: Streaming,
    language: Lang,
    knowledge_base_name: str | None = None,
) -> Response:
    """Server-sent events: `job` for each that is open, then whenever one changes; `gone` when one was deleted with its file.

    The stream ends after ten minutes; whoever wants to know more asks again.
    """
    kb = None if knowledge_base_name is None else await jobs.find_kb(caller, knowledge_base_name)
    events = jobs.watch.follow(caller.client_id, kb)
    frames = _frames(events, lambda found: _out(jobs, found, language))
    return EventStream(frames, streaming.tasks, heartbeat=streaming.heartbeat)


@router.post("/jobs/retry")
async def retry_failed(
    caller: Editor, jobs: JobsDep, body: RetryFailed, language: Lang
) -> Envelope[RetriedOut]:
    """Have all files of a knowledge base tried again that could not be read, from the bytes there are."""
    told = await jobs.retry_failed(caller, body.knowledge_base_name)
    words = Text(f"{told.retried} 个文件重新排队", f"{told.retried} files are queued again")
    return Envelope(msg=words.in_language(language), data=RetriedOut(retried=told.retried, left=told.left))


@router.get("/jobs/{job_id}")
async def get_job(caller: Editor, jobs: JobsDep, job_id: str, language: Lang) -> Envelope[JobOut]:
    return Envelope(data=_out(jobs, await jobs.get(caller, job_id), language))


@router.post("/jobs/{job_id}/cancel")
async def cancel_job(caller: Editor, jobs: JobsDep, job_id: str, language: Lang) -> Envelope[JobOut]:
    """End it. Its file is `failed: cancelled` and may be tried again; a file that was to replace another goes, and that one stays.

    One that was cancelled before is told as it is; one that came to another end is refused with 409.
    """
    found = await jobs.cancel(caller, job_id)
    return Envelope(msg=Text("已取消", "cancelled").in_language(language), data=_out(jobs, found, language))


@router.post("/jobs/{job_id}/retry")
async def retry_job(caller: Editor, jobs: JobsDep, job_id: str, language: Lang) -> Envelope[JobOut]:
    """Have a file that could not be read tried again, from the bytes there are; the job keeps its id."""
    found = await jobs.retry(caller, job_id)
    return Envelope(
        msg=Text("已重新排队", "queued again").in_language(language), data=_out(jobs, found, language)
    )


def _out(jobs: Jobs, found: Found, language: Language) -> JobOut:
    return job_out(found, language, jobs.clock.now(), jobs.max_attempts)


async def _frames(events: AsyncGenerator[tuple[str, Found | None]], out: Callable[[Found], JobOut]) -> Stream:
    number = 0
    async with aclosing(events):
        async for job_id, found in events:
            number += 1
            if found is None:
                name, data = "gone", json.dumps({"job_id": job_id})
            else:
                name, data = "job", out(found).model_dump_json()
            yield format_sse_event(data_str=data, event=name, id=str(number))
