"""HTTP: the upkeep of a knowledge base. The progress of a rebuild is SSE when `Accept` names it, else the contract's objects."""

from dataclasses import asdict
from typing import Any

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from server.auth.deps import Editor
from server.core.errors import AppError
from server.core.http import Envelope, Lang, new_router
from server.core.i18n import Language, Text
from server.core.sse import EventStream
from server.kb.chunking import ChunkingWish
from server.kb.deps import Compat, Streaming, UpkeepDep
from server.kb.progress import legacy_progress, sse_progress
from server.kb.schemas import ChunkingFields, ChunkingOut, FailedFiles
from server.kb.upkeep_schemas import (
    InfoOut,
    RecreateVectorStore,
    RenameKB,
    UpdateChunking,
    UpdateDocs,
    UpdateInfo,
    UpdateZhName,
    ZhNameOut,
)
from server.kb.waiting import failures, outcomes

router = new_router(tags=["Knowledge Base Management"])
_FORMS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Progress", "content": {"text/event-stream": {}, "application/json": {}}}
}


@router.post("/knowledge_base/update_zh_name")
async def update_zh_name(
    caller: Editor, upkeep: UpkeepDep, body: UpdateZhName, language: Lang
) -> Envelope[ZhNameOut]:
    await upkeep.describe(caller, body.knowledge_base_name, zh_name=body.kb_zh_name)
    return Envelope(msg=_updated(language), data=ZhNameOut(kb_zh_name=body.kb_zh_name))


@router.post("/knowledge_base/update_info")
async def update_info(
    caller: Editor, upkeep: UpkeepDep, body: UpdateInfo, language: Lang
) -> Envelope[InfoOut]:
    await upkeep.describe(caller, body.knowledge_base_name, info=body.kb_info)
    return Envelope(msg=_updated(language), data=InfoOut(kb_info=body.kb_info))


@router.post("/knowledge_base/update_chunking")
async def update_chunking(
    caller: Editor, upkeep: UpkeepDep, body: UpdateChunking, language: Lang
) -> Envelope[ChunkingOut]:
    chosen = await upkeep.prefer(caller, body.knowledge_base_name, wish_of(body))
    return Envelope(msg=_updated(language), data=ChunkingOut(**asdict(chosen)))


@router.post("/knowledge_base/rename")
async def rename(caller: Editor, upkeep: UpkeepDep, body: RenameKB, language: Lang) -> Envelope[None]:
    await upkeep.rename(caller, body.knowledge_base_name, body.new_name)
    return Envelope(
        msg=Text(
            f"知识库已改名为 {body.new_name}", f"the knowledge base is called {body.new_name} now"
        ).in_language(language),
        data=None,
    )


@router.post("/knowledge_base/update_docs")
async def update_docs(
    caller: Editor, upkeep: UpkeepDep, body: UpdateDocs, language: Lang, request: Request, compat: Compat
) -> Envelope[FailedFiles]:
    """Read files again, with another chunking or with passages that people give. What is there is searched until it is done;
    follow it in `/knowledge_base/documents` or under `/jobs`, or `wait` for it."""
    rereading = await upkeep.update_docs(
        caller,
        body.knowledge_base_name,
        body.file_names,
        wish_of(body),
        override_custom=body.override_custom_docs,
        custom=body.custom_docs,
    )
    result = FailedFiles(failed_files=reasons(rereading.refused, language))
    asked = {*body.file_names, *body.custom_docs}
    if asked and len(rereading.refused) == len(asked):
        first = next(iter(rereading.refused.values()))
        first.data = result.model_dump()
        raise first
    ended = await outcomes(request, upkeep, compat, body, rereading)
    result.failed_files |= reasons(failures(ended), language)
    words = Text("更新文档完成", "documents updated")
    if len(ended) < len(rereading.documents):
        words = Text(
            "已开始更新，正在后台重新处理", "begun; the documents are being read again in the background"
        )
    return Envelope(msg=words.in_language(language), data=result)


@router.post("/knowledge_base/recreate_vector_store", response_class=StreamingResponse, responses=_FORMS)
async def recreate_vector_store(
    caller: Editor, upkeep: UpkeepDep, body: RecreateVectorStore, streaming: Streaming, language: Lang
) -> Response:
    """Read every file again and tell of each that is done: `{"code", "msg", "total", "finished", "doc"}` objects, or SSE.

    The worker does it, and goes on when nobody reads this. What is there is searched until the new is ready; another
    `embed_model` takes effect for all files at once, when the last one is.
    """
    rereading = await upkeep.recreate(
        caller,
        body.knowledge_base_name,
        wish_of(body),
        model=body.embed_model,
        store=body.vs_type,
        allow_empty=body.allow_empty_kb,
    )
    events = upkeep.follower.follow(rereading)
    if streaming.sse:
        frames = sse_progress(events, rereading.kb.name, language)
        return EventStream(frames, streaming.tasks, heartbeat=streaming.heartbeat)
    return EventStream(legacy_progress(events, rereading.kb.name, language), streaming.tasks)


def wish_of(fields: ChunkingFields) -> ChunkingWish:
    return ChunkingWish(
        fields.chunk_size,
        fields.chunk_overlap,
        fields.zh_title_enhance,
        fields.chunk_method,
        fields.parent_size,
    )


def reasons(refused: dict[str, AppError], language: Language) -> dict[str, str]:
    return {name: error.text.in_language(language) for name, error in refused.items()}


def _updated(language: Language) -> str:
    return Text("已更新", "updated").in_language(language)
