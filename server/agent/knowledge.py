"""The tool that searches knowledge bases: those the caller may read, several at once."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from server.agent.base import Arguments, Found, Result, Tool, ToolFailed
from server.auth.principal import Principal
from server.core.errors import AppError
from server.core.i18n import Text
from server.kb.hits import Hit
from server.kb.models import KnowledgeBase
from server.kb.service import KBService

TITLE = Text("知识库查询", "knowledge search")
# Knowledge bases that one call searches at most, and that a model is told of.
MAX_KBS = 20
# Characters that are read of the large passage that a hit is part of.
_LARGE = 2000
# What it calls the files of the conversation; no knowledge base that somebody makes can be called so.
ATTACHED = "*attached"


class KnowledgeQuery(Arguments):
    query: Annotated[str, Field(min_length=1, max_length=500)]
    """What to look for, as a question or in key words, in the language of the documents."""
    knowledge_bases: Annotated[list[str], Field(default_factory=list, max_length=MAX_KBS)]
    """Names of the knowledge bases to search; empty searches all of them."""
    top_k: Annotated[int, Field(ge=1, le=10)] = 4
    """Passages at most."""


class Knowledge:
    """What one caller's knowledge bases hold."""

    def __init__(self, service: KBService, caller: Principal, kbs: Sequence[KnowledgeBase]) -> None:
        self._service, self._caller = service, caller
        self.kbs = {ATTACHED if kb.session_id else kb.name: kb for kb in kbs[:MAX_KBS]}

    def describe(self) -> str:
        """One line for each."""
        return "\n".join(
            f"- {name}：{' '.join(f'{kb.zh_name} {kb.info}'.split())[:200]}" for name, kb in self.kbs.items()
        )

    async def search(self, query: str, names: Sequence[str] = (), top_k: int = 4) -> list[Found]:
        """The passages of all of these that fit best, best first. Raises ToolFailed, AppError."""
        unknown = [name for name in names if name not in self.kbs]
        if unknown or not self.kbs:
            known = ", ".join(self.kbs) or "(none)"
            raise ToolFailed(f"no such knowledge base: {', '.join(unknown)[:200]}; there are: {known}")
        chosen = [self.kbs[name] for name in dict.fromkeys(names) or self.kbs]
        try:
            hits = await self._search(chosen, query, top_k)
        except AppError:
            # One that is broken does not hide the others.
            hits = await self._search(await self._sound(chosen, query), query, top_k)
        called = {kb.id: name for name, kb in self.kbs.items()}
        return [Found(hit, called[hit.kb_id]) for hit in hits]

    async def _search(self, kbs: Sequence[KnowledgeBase], query: str, top_k: int) -> list[Hit]:
        hits, _ = await self._service.search_all(kbs, query, viewer=self._caller, top_k=top_k)
        return await self._service.widening.widen(hits, {}, _LARGE)

    async def _sound(self, kbs: Sequence[KnowledgeBase], query: str) -> list[KnowledgeBase]:
        """Those that can be searched. Raises AppError when none can."""
        sound, failure = [], None
        for kb in kbs:
            try:
                await self._search([kb], query, 1)
            except AppError as error:
                failure = error
            else:
                sound.append(kb)
        if failure is not None and not sound:
            raise failure
        return sound

    def tool(self) -> Tool[KnowledgeQuery]:
        async def call(given: KnowledgeQuery) -> Result:
            found = await self.search(given.query, given.knowledge_bases, given.top_k)
            return Result("" if found else "nothing was found; try other words", found)

        words = "Search the company's documents in one or more knowledge bases. Returns numbered passages to cite."
        return Tool("knowledge_search", TITLE, words, KnowledgeQuery, call)


async def open_knowledge(
    service: KBService, caller: Principal, also: Sequence[KnowledgeBase] = ()
) -> Knowledge:
    """The knowledge bases that the caller sees, with documents that they see, behind those of the conversation."""
    seen = [kb for kb, count in await service.list_all(caller) if count]
    return Knowledge(service, caller, [*also, *seen])
