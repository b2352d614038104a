"""HTTP: a knowledge base as one package, out and in."""

from collections.abc import Awaitable, Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import Form, Request
from fastapi.responses import StreamingResponse

from server.auth.deps import Editor
from server.core.http import Envelope, Lang, PackageRoute, new_router
from server.core.i18n import Text
from server.core.sse import EventStream, Stream
from server.core.tasks import BackgroundTasks
from server.kb.deps import Compat, ExportsDep, ImportsDep, Streaming, UpkeepDep
from server.kb.follow import Rereading
from server.kb.package_schemas import ImportedOut, PackageForm
from server.kb.upkeep_routes import reasons
from server.kb.waiting import failures, outcomes

router = new_router(tags=["Packages"], route_class=PackageRoute)
_ZIP = "application/zip"


class _Download(EventStream):
    """A package that is streamed; what it was made of goes when the reader has it or has gone away."""

    media_type = _ZIP

    def __init__(
        self, source: Stream, tasks: BackgroundTasks, file_name: str, drop: Callable[[], Awaitable[None]]
    ) -> None:
        super().__init__(source, tasks)
        self._drop = drop
        self.headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(file_name, safe='')}"
        self.headers["X-Content-Type-Options"] = "nosniff"

    async def _close(self) -> None:
        await super()._close()
        await self._drop()


@router.get(
    "/knowledge_base/export",
    response_class=StreamingResponse,
    responses={200: {"description": "A zip", "content": {_ZIP: {}}}},
)
async def export_knowledge_base(
    caller: Editor, exports: ExportsDep, streaming: Streaming, knowledge_base_name: str
) -> StreamingResponse:
    """Everything of a knowledge base in one zip: files, passages, what people gave, vectors, recommended questions, question sets and settings,
    each with its checksum. A stream that breaks off is no zip."""
    snapshot = await exports.begin(caller, knowledge_base_name)

    async def drop() -> None:
        await exports.drop(snapshot)

    name = f"{snapshot.kb_name}.chat2llm.zip"
    return _Download(exports.stream(snapshot), streaming.tasks, name, drop)


@router.post("/knowledge_base/import")
async def import_knowledge_base(
    caller: Editor,
    imports: ImportsDep,
    upkeep: UpkeepDep,
    form: Annotated[PackageForm, Form(media_type="multipart/form-data")],
    language: Lang,
    request: Request,
    compat: Compat,
) -> Envelope[ImportedOut]:
    """Make a new knowledge base of a package. All of it is checked first, and nothing is visible before all of it is."""
    imported = await imports.take(caller, form.file.file, form.knowledge_base_name or None)
    waiting = Rereading(imported.kb, dict(imported.waiting))
    ended = await outcomes(request, upkeep, compat, form, waiting)
    name = imported.kb.name
    words = Text(f"已导入知识库 {name}", f"knowledge base {name} imported")
    if left := len(imported.waiting) - len(ended):
        words = Text(
            f"已导入知识库 {name}，{left} 个文件正在后台处理",
            f"knowledge base {name} imported; {left} files are being read in the background",
        )
    return Envelope(
        msg=words.in_language(language),
        data=ImportedOut(
            knowledge_base_name=name,
            documents=imported.documents,
            embedded_again=imported.embedded_again,
            waiting=left,
            failed_files=reasons(failures(ended), language),
        ),
    )
