"""Shapes of requests and answers about jobs."""

import math
from datetime import datetime

from pydantic import Field

from server.core.contract import ContractBody
from server.core.i18n import Language
from server.core.pagination import PageParams
from server.kb.job_list_repository import Found, Which
from server.kb.models import DocumentState
from server.kb.schemas import Described


class JobsQuery(PageParams):
    knowledge_base_name: str | None = None
    """None: all of the client's own."""
    state: Which | None = None
    """open, failed or done; or one stage: waiting, parsing, embedding, ready."""


class RetryFailed(ContractBody):
    knowledge_base_name: str


class RetriedOut(Described):
    retried: int
    left: int
    """Some hundred are queued again at once; ask again for the others."""


class JobOut(Described):
    """How far one document is."""

    job_id: str
    document_id: str
    file_name: str
    knowledge_base_name: str
    state: str
    """waiting, running, done, failed."""
    stage: str
    """Of the document: waiting, parsing, embedding, ready, failed."""
    done: int
    """Passages embedded, of `total`."""
    total: int
    pages_done: int
    """Pages read, of `pages_total`; 0 of 0 for files without pages, and while nothing is known."""
    pages_total: int
    chars: int
    """Characters that were read."""
    chunks: int
    """Passages that they were cut into."""
    percent: int
    eta_seconds: int | None = Field(ge=0)
    """Seconds until its stage is done, by the pace of this job itself; null until that is known."""
    attempts: int
    max_attempts: int
    can_cancel: bool
    can_retry: bool
    error_code: str | None
    reason: str | None
    create_time: datetime
    finish_time: datetime | None


def job_out(found: Found, language: Language, now: datetime, max_attempts: int) -> JobOut:
    job, document = found.job, found.document
    eta = None
    if job.expected_at is not None:
        eta = max(0, math.ceil((job.expected_at - now).total_seconds()))
    return JobOut(
        job_id=job.id,
        document_id=document.id,
        file_name=document.file_name,
        knowledge_base_name=found.kb.name,
        state=job.state,
        stage=document.state,
        done=job.done,
        total=job.total,
        pages_done=job.pages_done,
        pages_total=job.pages_total,
        chars=job.chars,
        chunks=job.chunks,
        percent=job.percent(document),
        eta_seconds=eta,
        attempts=job.attempts,
        max_attempts=max_attempts,
        can_cancel=job.is_open,
        can_retry=not job.is_open and document.state == DocumentState.FAILED and document.slot is not None,
        error_code=document.error_code,
        reason=(document.error_text or {}).get(language),
        create_time=job.created_at,
        finish_time=job.finished_at,
    )
