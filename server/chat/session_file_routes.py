"""HTTP: files that are attached to one conversation, for its owner alone."""

from typing import Annotated

from fastapi import Form, Query, Request, Response
from fastapi.responses import FileResponse

from server.auth.deps import Chatter
from server.chat.deps import SessionFilesDep
from server.chat.schemas import Id32
from server.chat.session_files import Taken
from server.chat.session_schemas import AttachedFile, AttachForm, DeleteFile, TakenFile
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Language, Text
from server.core.pagination import Page, PageParams
from server.kb.downloads import Near, hand_out, read_out
from server.kb.models import Document, Job
from server.kb.schemas import ReadPassage
from server.kb.uploads import Upload

router = new_router(tags=["Session Management"])
SessionId = Annotated[Id32, Query()]


@router.post("/session/files", status_code=202)
async def attach_files(
    caller: Chatter,
    files: SessionFilesDep,
    form: Annotated[AttachForm, Form(media_type="multipart/form-data")],
    language: Lang,
) -> Envelope[list[TakenFile]]:
    """Attach files to a session that is there: questions in it search them too, as soon as they are read.

    Kinds and sizes as for uploads to knowledge bases, at most ten files in a session. A file of the same name is replaced.
    When some are refused, their `state` is `refused`; when all are, the first one's refusal is the answer.
    """
    uploads = [Upload(file.filename or "", file.size or 0, file.file) for file in form.files]
    taken = await files.add(caller, form.session_id, uploads)
    words = Text("文件已接收，正在后台解析与向量化", "files received; they are being read in the background")
    return Envelope(
        code=202, msg=words.in_language(language), data=[_taken_out(one, language) for one in taken]
    )


@router.get("/session/files")
async def list_attached_files(
    caller: Chatter, files: SessionFilesDep, session_id: SessionId, language: Lang
) -> Envelope[list[AttachedFile]]:
    """The files of a session and what became of them, in the order in which they came."""
    rows = await files.list_all(caller, session_id)
    return Envelope(data=[_file_out(document, job, language) for document, job in rows])


@router.get("/session/files/content", response_class=FileResponse)
async def download_attached_file(
    caller: Chatter,
    files: SessionFilesDep,
    session_id: SessionId,
    document_id: str,
    request: Request,
    *,
    preview: bool = False,
) -> Response:
    """The file as it came, or the `Range` of it that is asked for. `preview` shows PDF and text in the browser."""
    return hand_out(await files.content(caller, session_id, document_id, preview=preview), request)


@router.get("/session/files/passages")
async def read_attached_file(
    caller: Chatter,
    files: SessionFilesDep,
    paging: Annotated[PageParams, Query()],
    session_id: SessionId,
    document_id: str,
    near: Near = None,
) -> Envelope[Page[ReadPassage]]:
    """What was read of the file, in reading order; `near`: the page that has the passage of this id."""
    return Envelope(data=read_out(await files.read(caller, session_id, document_id, paging, near), paging))


@router.post("/session/files/delete")
async def delete_attached_file(caller: Chatter, files: SessionFilesDep, body: DeleteFile) -> Envelope[bool]:
    """Take a file out of a session, and delete it."""
    await files.delete(caller, body.session_id, body.document_id)
    return Envelope(data=True)


def _taken_out(taken: Taken, language: Language) -> TakenFile:
    document, error = taken.document, taken.error
    return TakenFile(
        document_id=document.id if document else None,
        file_name=document.file_name if document else taken.name,
        state=document.state if document else "refused",
        error_code=error.code if error else None,
        reason=error.text.in_language(language) if error else None,
    )


def _file_out(document: Document, job: Job | None, language: Language) -> AttachedFile:
    return AttachedFile(
        document_id=document.id,
        file_name=document.file_name,
        state=document.state,
        percent=job.percent(document) if job else 0,
        size=document.size,
        error_code=document.error_code,
        reason=(document.error_text or {}).get(language),
        create_time=document.created_at,
    )
