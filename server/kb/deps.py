"""What the routes of knowledge bases take from the application."""

from typing import Annotated, cast

from fastapi import Depends, Request

from server.core.bare import read_bare
from server.core.errors import Invalid
from server.core.i18n import Language, Text, negotiate
from server.kb.files import MAX_KB_NAME
from server.kb.service import KBService


async def _service(request: Request) -> KBService:
    return cast("KBService", request.app.state.kb)


async def _language(request: Request) -> Language:
    return negotiate(request.headers.get("accept-language"))


async def _bare_name(request: Request) -> str:
    """A body that is a knowledge base's name: a JSON string, an object with `knowledge_base_name`, or else raw text."""
    name = await read_bare(request, "knowledge_base_name")
    if not 1 <= len(name) <= MAX_KB_NAME:
        raise Invalid(Text("请求体应是知识库名称", "the body should be a knowledge base's name"))
    return name


KB = Annotated[KBService, Depends(_service)]
Lang = Annotated[Language, Depends(_language)]
BareName = Annotated[str, Depends(_bare_name)]
