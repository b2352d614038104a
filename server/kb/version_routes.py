"""HTTP: the versions of a file."""

from typing import Annotated

from fastapi import Query

from server.auth.deps import Editor
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Text
from server.kb.chunk_schemas import chunking_out
from server.kb.deps import HistoryDep
from server.kb.history import Told, Version
from server.kb.models import Slot
from server.kb.version_schemas import (
    ComparedPassage,
    NamedVersion,
    RestoredOut,
    VersionId,
    VersionOut,
    VersionsComparedOut,
)

router = new_router(tags=["Versions"])


@router.get("/knowledge_base/versions")
async def list_versions(
    caller: Editor, history: HistoryDep, knowledge_base_name: str, file_name: str
) -> Envelope[list[VersionOut]]:
    """A replacement that is on its way, the current version, and as many earlier ones as are kept, the last first."""
    versions = await history.versions(caller, knowledge_base_name, file_name)
    return Envelope(data=[_version_out(version) for version in versions])


@router.get("/knowledge_base/compare_versions")
async def compare_versions(
    caller: Editor,
    history: HistoryDep,
    knowledge_base_name: str,
    file_name: str,
    old: Annotated[VersionId, Query()],
    new: Annotated[VersionId | None, Query()] = None,
    limit: Annotated[int, Query(ge=0, le=1000)] = 100,
) -> Envelope[VersionsComparedOut]:
    """What one version says that the other does not; `new` left out is the current one. Of each kind `limit` passages are told."""
    found = await history.compare(caller, knowledge_base_name, file_name, old, new, limit=limit)
    return Envelope(
        data=VersionsComparedOut(
            unchanged=found.unchanged,
            added=_told(found.added),
            added_total=found.added_total,
            removed=_told(found.removed),
            removed_total=found.removed_total,
        )
    )


@router.post("/knowledge_base/restore_version")
async def restore_version(
    caller: Editor, history: HistoryDep, body: NamedVersion, language: Lang
) -> Envelope[RestoredOut]:
    """Make an earlier version the current one; what was current becomes an earlier version."""
    restored = await history.restore(caller, body.knowledge_base_name, body.file_name, body.document_id)
    words = Text("已恢复该版本", "the version is restored")
    if restored.job_id is not None:
        words = Text(
            "该版本需重新处理，完成前仍检索当前版本",
            "the version is being read again; until then the present one is searched",
        )
    row = restored.document
    return Envelope(
        msg=words.in_language(language),
        data=RestoredOut(document_id=row.id, state=row.state, job_id=restored.job_id),
    )


@router.post("/knowledge_base/delete_version")
async def delete_version(
    caller: Editor, history: HistoryDep, body: NamedVersion, language: Lang
) -> Envelope[None]:
    """Delete an earlier version, or a replacement that could not be read. The current version stays as it is."""
    await history.delete(caller, body.knowledge_base_name, body.file_name, body.document_id)
    return Envelope(msg=Text("已删除该版本", "the version is deleted").in_language(language), data=None)


def _version_out(version: Version) -> VersionOut:
    row = version.document
    return VersionOut(
        document_id=row.id,
        current=row.slot == Slot.LIVE,
        state=row.state,
        size=row.size,
        chunks=row.chunk_count,
        chars=row.char_count,
        sha256=row.sha256,
        chunking=chunking_out(row),
        custom_docs=row.custom_docs,
        create_time=row.created_at,
        ready_time=row.ready_at,
        archive_time=row.archived_at,
        can_restore=version.can_restore,
    )


def _told(passages: list[Told]) -> list[ComparedPassage]:
    return [ComparedPassage(text=text, anchor=anchor) for text, anchor in passages]
