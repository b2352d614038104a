"""Segments that cannot be read: what an index does without, and how the worker comes to read the document again."""

import logging
from datetime import timedelta

from server.core.clock import Clock
from server.core.i18n import Text
from server.db.session import Database
from server.kb import document_repository, job_repository
from server.kb.document_repository import ReadySegment
from server.kb.files import FileStore
from server.kb.models import JobKind, KnowledgeBase
from server.kb.segments import SegmentError, read_segment
from server.kb.vectorstores.base import Vectors

log = logging.getLogger(__name__)

# A segment that is lost twice in this time is no accident, and reading the document once more would not help.
_REPAIR_INTERVAL = timedelta(hours=1)
_LOST_AGAIN = Text(
    "该文件的向量反复损坏，请联系管理员检查磁盘，然后重新上传",
    "this file's vectors were damaged again and again: have your operator check the disk, then upload it again",
)


def read_or_none(
    files: FileStore, kb: KnowledgeBase, dimension: int, segment: ReadySegment
) -> Vectors | None:
    """A segment's vectors, or None when the file is damaged: one bad file must not silence the others. Blocks."""
    path = files.segment_path(kb.id, kb.embed_model, segment.name)
    reason = "wrong shape"
    try:
        matrix = read_segment(path, segment.sha256)
    except SegmentError as error:
        matrix, reason = None, str(error)
    if matrix is not None and matrix.shape == (len(segment.chunk_ids), dimension):
        return matrix
    log.error("segment unusable", extra={"document": segment.document_id, "reason": reason})
    return None


async def repair(database: Database, clock: Clock, segment: ReadySegment) -> bool:
    """Have the worker read a document again. All processes may notice at once; one of them does it, and once.

    False when somebody else did, or the document was exchanged or deleted meanwhile.
    """
    now = clock.now()
    async with database.write() as session:
        document = await document_repository.withdraw_document(session, segment)
        if document is None:
            return False
        if await job_repository.has_job_since(session, document.id, JobKind.REPAIR, now - _REPAIR_INTERVAL):
            await document_repository.fail_document(
                session, document.id, "segment_lost", _LOST_AGAIN.to_json()
            )
        else:
            await job_repository.add_job(session, document, now, JobKind.REPAIR)
    log.warning("segment lost", extra={"document": document.id, "state": document.state})
    return True
