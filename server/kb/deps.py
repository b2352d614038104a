"""What the routes of knowledge bases take from the application."""

import json
from typing import Annotated, cast

from fastapi import Depends, Request

from server.core.errors import Invalid
from server.core.i18n import Language, Text, negotiate
from server.kb.service import KBService


def _service(request: Request) -> KBService:
    return cast("KBService", request.app.state.kb)


def _language(request: Request) -> Language:
    return negotiate(request.headers.get("accept-language"))


async def _bare_string(request: Request) -> str:
    """A body that is one string: JSON, raw text of any content type, or an object with `knowledge_base_name`."""
    text = (await request.body()).decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(value, dict):
        value = value.get("knowledge_base_name")
    if not isinstance(value, str) or not value:
        raise Invalid(Text("请求体应是知识库名称", "the body should be a knowledge base's name"))
    return value


KB = Annotated[KBService, Depends(_service)]
Lang = Annotated[Language, Depends(_language)]
BareName = Annotated[str, Depends(_bare_string)]
