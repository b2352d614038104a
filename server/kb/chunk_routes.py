"""HTTP: single passages, which editors read and change, and how a file would be cut."""

from typing import Annotated

from fastapi import Form, Query

from server.auth.deps import Editor
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Text
from server.core.pagination import Page, PageParams
from server.kb.chunk_change import Wish
from server.kb.chunk_schemas import (
    AddChunk,
    ChunkOut,
    DeleteChunk,
    PreviewForm,
    PreviewOut,
    UpdateChunk,
    chunk_out,
    preview_out,
)
from server.kb.deps import KB
from server.kb.upkeep_routes import wish_of

router = new_router(tags=["Knowledge Base Management"])
# What takes a form has limits of its own, see server/api.py.
preview_router = new_router(tags=["Knowledge Base Management"])


@preview_router.post("/knowledge_base/preview_chunks")
async def preview_chunks(
    caller: Editor,
    kb: KB,
    form: Annotated[PreviewForm, Form(media_type="multipart/form-data")],
    language: Lang,
) -> Envelope[PreviewOut]:
    """How a file would be cut, by what the form says and else as usual. Nothing is stored."""
    name, wish = form.knowledge_base_name, wish_of(form)
    if form.file is not None:
        upload = (form.file.filename or "", form.file.size or 0, form.file.file)
        preview = await kb.previews.of_upload(caller, name, upload, wish, form.limit)
    else:
        preview = await kb.previews.of_file(caller, name, form.file_name, wish, form.limit)
    return Envelope(data=preview_out(preview, language))


@router.get("/knowledge_base/chunks")
async def list_chunks(
    caller: Editor,
    kb: KB,
    paging: Annotated[PageParams, Query()],
    knowledge_base_name: str,
    file_name: str,
    query: Annotated[str, Query(max_length=500)] = "",
) -> Envelope[Page[ChunkOut]]:
    """The passages of a file in its searched version, in order; `query`: those with these characters in them."""
    rows, total = await kb.editing.list_all(
        caller, knowledge_base_name, file_name, query.replace("\0", ""), paging
    )
    items = [chunk_out(row) for row in rows]
    return Envelope(data=Page(items=items, total=total, page=paging.page, page_size=paging.page_size))


@router.post("/knowledge_base/update_chunk")
async def update_chunk(caller: Editor, kb: KB, body: UpdateChunk, language: Lang) -> Envelope[ChunkOut]:
    """Change what a passage says, or switch it off and on. Every search heeds it from the answer on."""
    wish = Wish.of(body.text, body.question, enabled=body.enabled)
    shown = await kb.editing.update(caller, body.knowledge_base_name, body.chunk_id, wish)
    return Envelope(msg=Text("段落已更新", "passage updated").in_language(language), data=chunk_out(shown))


@router.post("/knowledge_base/add_chunk")
async def add_chunk(caller: Editor, kb: KB, body: AddChunk, language: Lang) -> Envelope[ChunkOut]:
    """Add a passage to a file. It stays when the file is read again."""
    wish = Wish.of(body.text, body.question, enabled=None)
    shown = await kb.editing.add(caller, body.knowledge_base_name, body.file_name, wish, body.after_chunk_id)
    return Envelope(msg=Text("段落已添加", "passage added").in_language(language), data=chunk_out(shown))


@router.post("/knowledge_base/delete_chunk")
async def delete_chunk(caller: Editor, kb: KB, body: DeleteChunk, language: Lang) -> Envelope[ChunkOut]:
    """Delete a passage; it stays away when the file is read again. The answer tells what it was."""
    shown = await kb.editing.delete(caller, body.knowledge_base_name, body.chunk_id)
    return Envelope(msg=Text("段落已删除", "passage deleted").in_language(language), data=chunk_out(shown))
