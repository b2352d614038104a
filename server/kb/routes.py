"""HTTP: knowledge bases and documents."""

from typing import Annotated

from fastapi import Form, Query, Request, Response
from fastapi.responses import FileResponse

from server.auth.deps import Editor, Reader
from server.auth.principal import Principal, Scope
from server.core.errors import AppError, Conflict, KBNotFound
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Language, Text
from server.core.pagination import Page, PageParams
from server.kb.chunk_schemas import chunking_out, edits_out
from server.kb.deps import KB, BareName, Compat, HistoryDep, UpkeepDep
from server.kb.downloads import Near, hand_out, read_out
from server.kb.files import name_key
from server.kb.follow import Rereading
from server.kb.hits import Hit
from server.kb.label_schemas import UpdateDocument
from server.kb.models import Document, DocumentState, KnowledgeBase, Slot
from server.kb.reading_notes import notes
from server.kb.schemas import (
    CreateKB,
    DeleteDocs,
    DocumentOut,
    FailedFiles,
    HitOut,
    KBOut,
    ReadPassage,
    SearchDocs,
    UploadedDocument,
    UploadForm,
    UploadOut,
)
from server.kb.splitters import Chunking
from server.kb.upkeep_routes import reasons, wish_of
from server.kb.uploads import Upload
from server.kb.version_schemas import WantedFile
from server.kb.waiting import Outcomes, failures, outcomes

router = new_router(tags=["Knowledge Base Management"])

# FastAPI sees no body where a dependency reads it.
_BARE_NAME = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "string", "title": "knowledge_base_name"}},
            "text/plain": {"schema": {"type": "string"}},
        },
    }
}
Paging = Annotated[PageParams, Query()]


@router.get("/knowledge_base/list_knowledge_bases")
async def list_knowledge_bases(caller: Reader, kb: KB) -> Envelope[list[str]]:
    return Envelope(data=[row.name for row, _ in await kb.list_all(caller)])


@router.get("/knowledge_base/list_knowledge_bases_v2")
async def list_knowledge_bases_v2(caller: Reader, kb: KB) -> Envelope[list[KBOut]]:
    rows = await kb.list_all(caller)
    return Envelope(data=[_kb_out(row, count, kb.choose_chunking(kb=row)) for row, count in rows])


@router.post("/knowledge_base/create_knowledge_base")
async def create_knowledge_base(caller: Editor, kb: KB, body: CreateKB, language: Lang) -> Envelope[None]:
    made = await kb.create(
        caller,
        body.knowledge_base_name,
        zh_name=body.kb_zh_name,
        info=body.kb_info,
        store=body.vector_store_type,
        model=body.embed_model,
        chunking=wish_of(body),
    )
    return Envelope(
        msg=Text(f"已新增知识库 {made.name}", f"knowledge base {made.name} created").in_language(language),
        data=None,
    )


@router.post("/knowledge_base/delete_knowledge_base", openapi_extra=_BARE_NAME)
async def delete_knowledge_base(caller: Editor, kb: KB, name: BareName, language: Lang) -> Envelope[None]:
    """The body is the name: a JSON string, raw text, or `{"knowledge_base_name": …}`."""
    await kb.delete(caller, name)
    return Envelope(
        msg=Text(f"成功删除知识库 {name}", f"knowledge base {name} deleted").in_language(language), data=None
    )


@router.get("/knowledge_base/list_files")
async def list_files(caller: Reader, kb: KB, knowledge_base_name: str) -> Envelope[list[str]]:
    """Names of the documents; `/knowledge_base/documents` tells what became of each."""
    try:
        documents, _ = await kb.list_documents(caller, knowledge_base_name)
    except KBNotFound as error:
        error.data = []  # pages count it
        raise
    names = [row.file_name for row in documents if row.state != DocumentState.STORED]
    return Envelope(data=list(dict.fromkeys(names)))


@router.get("/knowledge_base/documents")
async def list_documents(
    caller: Reader, kb: KB, knowledge_base_name: str, paging: Paging, language: Lang
) -> Envelope[Page[DocumentOut]]:
    """Documents with state, reason of failure and size. A replacement in work stands beside the version it replaces."""
    rows, total = await kb.list_documents(
        caller, knowledge_base_name, offset=paging.offset, limit=paging.page_size
    )
    items = [_document_out(row, caller, language) for row in rows]
    return Envelope(data=Page(items=items, total=total, page=paging.page, page_size=paging.page_size))


@router.post("/knowledge_base/search_docs")
async def search_docs(caller: Reader, kb: KB, body: SearchDocs, compat: Compat) -> list[HitOut]:
    try:
        hits, _ = await kb.search(
            caller,
            body.knowledge_base_name,
            body.query,
            top_k=body.top_k,
            threshold=body.score_threshold,
            filters=body.filters.wanted if body.filters else None,
        )
    except KBNotFound:
        if compat.http_200_errors:
            return []
        raise
    return [_hit_out(hit) for hit in hits]


@router.post("/knowledge_base/upload_docs")
async def upload_docs(
    caller: Editor,
    kb: KB,
    upkeep: UpkeepDep,
    form: Annotated[UploadForm, Form(media_type="multipart/form-data")],
    language: Lang,
    request: Request,
    compat: Compat,
) -> Envelope[UploadOut]:
    """Take files; the worker reads them. Follow `job_id` under `/jobs`, or the states in `/knowledge_base/documents`; or
    `wait` until they are searchable.

    A file that is refused stands in `failed_files` with its reason, and the others go on.
    """
    target = await kb.uploads.check(caller, form.knowledge_base_name)
    chunking = kb.choose_chunking(wish_of(form), target)
    custom = {name_key(name): (name, passages) for name, passages in form.custom_docs.items()}
    failed: dict[str, AppError] = {}
    accepted: list[UploadedDocument] = []
    seen: set[str] = set()
    for file in form.files:
        name = file.filename or ""
        try:
            if name_key(name) in seen:
                raise Conflict(Text("同一次上传里有重名文件", "the same name stands twice in this upload"))
            seen.add(name_key(name))
            _, passages = custom.pop(name_key(name), (name, None))
            upload = Upload(name, file.size or 0, file.file, form.labels)
            taken = await kb.uploads.take(
                target,
                upload,
                chunking,
                override=form.override,
                vectorise=form.to_vector_store,
                custom=passages,
                is_queued=True,
            )
        except AppError as error:
            failed[name] = error
        else:
            row = taken.document
            accepted.append(
                UploadedDocument(
                    file_name=row.file_name, document_id=row.id, job_id=taken.job_id, state=row.state
                )
            )
    # What is left is meant for files that are there already.
    coming = Rereading(target, {row.document_id: row.file_name for row in accepted if row.job_id})
    if custom:
        again = await upkeep.update_docs(caller, target.name, [], wish_of(form), custom=dict(custom.values()))
        coming.documents |= again.documents
        failed |= again.refused
    if failed and not accepted and not coming.documents:
        first = next(iter(failed.values()))
        first.data = UploadOut(failed_files=reasons(failed, language), documents=[]).model_dump()
        raise first
    ended = await outcomes(request, upkeep, compat, form, coming)
    for told in accepted:
        if told.file_name in ended:
            told.state = DocumentState.FAILED if ended[told.file_name] else DocumentState.READY
    result = UploadOut(failed_files=reasons(failed | failures(ended), language), documents=accepted)
    return Envelope(msg=_received(form, coming, ended).in_language(language), data=result)


def _received(form: UploadForm, coming: Rereading, ended: Outcomes) -> Text:
    if len(ended) < len(coming.documents):
        return Text(
            "文件已接收，正在后台解析与向量化", "files received; they are being read in the background"
        )
    if not form.to_vector_store:
        return Text("文件已保存，未向量化", "files kept, without making them searchable")
    return Text("文件上传与向量化完成", "files received and read")


@router.post("/knowledge_base/delete_docs")
async def delete_docs(caller: Editor, kb: KB, body: DeleteDocs, language: Lang) -> Envelope[FailedFiles]:
    """Take files out of search; `delete_content` removes the stored files too."""
    failed = await kb.delete_documents(
        caller, body.knowledge_base_name, body.file_names, delete_content=body.delete_content
    )
    result = FailedFiles(failed_files=reasons(failed, language))
    if len(failed) == len(set(body.file_names)):
        first = next(iter(failed.values()))
        first.data = result.model_dump()
        raise first
    return Envelope(msg=Text("文件删除完成", "files deleted").in_language(language), data=result)


@router.post("/knowledge_base/update_document")
async def update_document(
    caller: Editor, upkeep: UpkeepDep, body: UpdateDocument, language: Lang
) -> Envelope[DocumentOut]:
    """Say something else of a file: its tags, its properties, who may see it. Every search heeds it from the answer on."""
    row = await upkeep.label(caller, body.knowledge_base_name, body.file_name, body.labels)
    return Envelope(
        msg=Text("已更新", "updated").in_language(language), data=_document_out(row, caller, language)
    )


@router.head("/knowledge_base/download_doc", include_in_schema=False)
@router.get(
    "/knowledge_base/download_doc",
    response_class=FileResponse,
    responses={304: {"description": "`If-None-Match` names what there is"}},
)
async def download_doc(
    caller: Reader, kb: KB, history: HistoryDep, request: Request, wanted: Annotated[WantedFile, Query()]
) -> Response:
    """The file as it was uploaded, or the `Range` of it that is asked for."""
    name, file_name = wanted.knowledge_base_name, wanted.file_name
    if wanted.document_id is None:
        stored = await kb.content(caller, name, file_name, preview=wanted.preview)
    else:
        version = await history.find(caller, name, file_name, wanted.document_id)
        stored = await kb.open(version, preview=wanted.preview)
    return hand_out(stored, request)


@router.get("/knowledge_base/passages")
async def read_passages(
    caller: Reader,
    kb: KB,
    paging: Paging,
    knowledge_base_name: str,
    file_name: str,
    near: Near = None,
) -> Envelope[Page[ReadPassage]]:
    """What was read of a file, in reading order: for files that a browser does not show.

    `near`: the page that has the passage of this id, whatever `page` says. A file that could not be read has none.
    """
    read = await kb.passages.read(caller, knowledge_base_name, file_name, paging, near)
    return Envelope(data=read_out(read, paging))


def _kb_out(row: KnowledgeBase, count: int, chunking: Chunking) -> KBOut:
    return KBOut(
        kb_name=row.name,
        kb_zh_name=row.zh_name,
        kb_info=row.info,
        vs_type=row.vector_store,
        embed_model=row.embed_model,
        file_count=count,
        create_time=row.created_at,
        shared=row.shared,
        next_embed_model=row.rebuild["model"] if row.rebuild else None,
        chunk_size=chunking.chunk_size,
        chunk_overlap=chunking.chunk_overlap,
        zh_title_enhance=chunking.zh_title_enhance,
        chunk_method=chunking.chunk_method,
        parent_size=chunking.parent_size,
    )


def _document_out(row: Document, caller: Principal, language: Language) -> DocumentOut:
    return DocumentOut(
        document_id=row.id,
        file_name=row.file_name,
        state=row.state,
        found_by=row.found_by,
        size=row.size,
        chunks=row.chunk_count,
        chars=row.char_count,
        disabled_chunks=row.disabled_count,
        chunking=chunking_out(row),
        edits=edits_out(row),
        custom_docs=row.custom_docs,
        replaces_ready_version=row.slot == Slot.NEXT,
        tags=row.tags or [],
        properties=row.properties or {},
        visible_to=row.visible_to if caller.may(Scope.KB_WRITE) else None,
        findings=row.findings or {},
        warnings=[text.in_language(language) for text in notes(row.findings or {})],
        error_code=row.error_code,
        reason=(row.error_text or {}).get(language),
        create_time=row.created_at,
        ready_time=row.ready_at,
    )


def _hit_out(hit: Hit) -> HitOut:
    metadata = {
        "source": hit.file_name,
        "document_id": hit.document_id,
        "chunk_id": hit.chunk_id,
        **hit.anchor,
    }
    return HitOut(page_content=hit.text, metadata=metadata, score=hit.score, marks=list(hit.marks))
