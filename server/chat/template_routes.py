"""HTTP: the prompt templates, as `configs/prompts` holds them now."""

from typing import Annotated, cast

from fastapi import Depends, Request

from server.auth.deps import Chatter
from server.chat.prompts import KINDS, Prompts, TemplateKind
from server.core.contract import ContractBody
from server.core.http import Envelope, new_router
from server.core.runtime import Runtime

router = new_router(tags=["Server State"])


class TemplateRequest(ContractBody):
    type: TemplateKind = "llm_chat"
    """The chat it is for: a folder of `configs/prompts`."""
    name: str = "default"
    """What a request says in `prompt_name`."""


class Templates:
    """Reads templates off the event loop."""

    def __init__(self, prompts: Prompts, runtime: Runtime) -> None:
        self._prompts, self._lanes = prompts, runtime.lanes

    async def text(self, kind: TemplateKind, name: str) -> str:
        """Raises PromptNotFound."""
        return await self._lanes.run("io", self._prompts.source, kind, name)

    async def names(self) -> dict[str, list[str]]:
        return {kind: await self._lanes.run("io", self._prompts.names, kind) for kind in KINDS}


async def _templates(request: Request) -> Templates:
    return cast("Templates", request.app.state.templates)


TemplatesDep = Annotated[Templates, Depends(_templates)]


@router.post("/server/get_prompt_template")
async def get_prompt_template(
    _: Chatter, templates: TemplatesDep, body: TemplateRequest | None = None
) -> str:
    """A template's text, a bare JSON string."""
    body = body or TemplateRequest()
    return await templates.text(body.type, body.name)


@router.post("/server/list_prompt_templates")
async def list_prompt_templates(_: Chatter, templates: TemplatesDep) -> Envelope[dict[str, list[str]]]:
    """The names there are, by the chat they are for."""
    return Envelope(data=await templates.names())
