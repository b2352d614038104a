"""The tool that searches knowledge bases: those the caller may read, several at once."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from server.agent.base import Arguments, Found, Result, Tool, ToolFailed
from server.auth.principal import Principal
from server.core.errors import AppError
from server.core.i18n import Text
from server.kb.models import KnowledgeBase
from server.kb.service import KBService

TITLE = Text("知识库查询", "knowledge search")
# Knowledge bases that one call searches at most, and that a model is told of.
MAX_KBS = 20
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

    def __init__(self, service: KBService, kbs: Sequence[KnowledgeBase], threshold: float) -> None:
        self._service, self._threshold = service, threshold
        self.kbs = {ATTACHED if kb.session_id else kb.name: kb for kb in kbs[:MAX_KBS]}

    def describe(self) -> str:
        """One line for each."""
        return "\n".join(
            f"- {name}：{' '.join(f'{kb.zh_name} {kb.info}'.split())[:200]}" for name, kb in self.kbs.items()
        )

    async def search(self, query: str, names: Sequence[str] = (), top_k: int = 4) -> list[Found]:
        """The nearest passages of all of these, closest first. Raises ToolFailed, AppError."""
        unknown = [name for name in names if name not in self.kbs]
        if unknown or not self.kbs:
            known = ", ".join(self.kbs) or "(none)"
            raise ToolFailed(f"no such knowledge base: {', '.join(unknown)[:200]}; there are: {known}")
        found: list[Found] = []
        failure: AppError | None = None
        for name in dict.fromkeys(names) or self.kbs:
            try:
                hits, _ = await self._service.search_in(
                    self.kbs[name], query, top_k=top_k, threshold=self._threshold
                )
            except AppError as error:  # one that is broken does not hide the others
                failure = error
            else:
                found += [Found(hit, name) for hit in hits]
        if failure is not None and not found:
            raise failure
        return sorted(found, key=lambda passage: passage.source.score)[:top_k]

    def tool(self) -> Tool[KnowledgeQuery]:
        async def call(given: KnowledgeQuery) -> Result:
            found = await self.search(given.query, given.knowledge_bases, given.top_k)
            return Result("" if found else "nothing was found; try other words", found)

        words = "Search the company's documents in one or more knowledge bases. Returns numbered passages to cite."
        return Tool("knowledge_search", TITLE, words, KnowledgeQuery, call)


async def open_knowledge(
    service: KBService, caller: Principal, threshold: float, also: Sequence[KnowledgeBase] = ()
) -> Knowledge:
    """The knowledge bases that the caller sees and that have documents, behind those of the conversation."""
    seen = [kb for kb, count in await service.list_all(caller) if count]
    return Knowledge(service, [*also, *seen], threshold)
