"""Calling a tool with what a model wrote: checked, bounded, and every failure in words that may be told."""

import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from server.agent.base import Found, Report, Result, Tool, ToolFailed, Used
from server.agent.budget import Budget
from server.core import strict_json
from server.core.errors import AppError
from server.kb.hits import Hit

log = logging.getLogger(__name__)

_SPENT = "The budget for tools is used up. Answer now with what is known, and say what is missing."
_BROKEN = "this tool failed; go on without it"


class Calls:
    """The calls of one answer. Passages are numbered through all of them; one that comes again keeps its number."""

    def __init__(self, budget: Budget, report: Callable[[Report], None]) -> None:
        self._budget, self._report = budget, report
        self._numbers: dict[object, int] = {}

    async def run(self, tool: Tool[Any], text: str) -> str:
        """What the model is told. `text`: the arguments as it wrote them."""
        if not self._budget.take_call():
            return _SPENT
        found: list[Found] = []
        failed = False
        try:
            result = await self._call(tool, text)
            output, found = self._numbered(result)
        except ToolFailed as error:
            output, failed = self._budget.fit(str(error)), True
        self._report(Used(tool.name, tool.title, text, output, failed, found))
        told = f"Error: {output}" if failed else output
        return f"{told}\n\n{_SPENT}" if self._budget.is_spent else told

    @staticmethod
    def shown(text: str) -> str:
        """Arguments as they go back to the model: providers refuse what is not JSON."""
        return text if text and _object(text) is not None else "{}"

    async def _call(self, tool: Tool[Any], text: str) -> Result:
        """Raises ToolFailed."""
        given = _object(text)
        if given is None:
            raise ToolFailed("the arguments are not a JSON object")
        try:
            arguments = tool.arguments.model_validate(given)
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
            raise ToolFailed(f"wrong arguments: {'; '.join(problems)[:500]}") from None
        try:
            async with self._budget.spend_time():
                return await tool.call(arguments)
        except ToolFailed:
            raise
        except AppError as error:
            raise ToolFailed(error.text.zh) from error
        except TimeoutError:
            raise ToolFailed("this tool took too long; go on without it") from None
        except Exception as error:
            # A tool is a plug-in: whatever it raises, its words stay in the log.
            log.exception("tool failed", extra={"tool": tool.name})
            raise ToolFailed(_BROKEN) from error

    def _numbered(self, result: Result) -> tuple[str, list[Found]]:
        """The text with numbered passages as far as they fit, and those of them that were not known before."""
        lines, new = [self._budget.fit(result.text)] if result.text else [], []
        for found in result.found:
            source = found.source
            if lines and not self._budget.has_room(source.reading):
                break  # what the model does not see must not be cited
            key = source.chunk_id if isinstance(source, Hit) else source
            if key not in self._numbers:
                self._numbers[key] = len(self._numbers) + 1
                new.append(found)
            lines.append(self._budget.fit(f"[{self._numbers[key]}] {source.place('zh')}\n{source.reading}"))
        return "\n\n".join(lines), new


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = strict_json.loads((text or "{}").encode("utf-8", "replace"))
    except strict_json.StrictJSONError:
        return None
    return value if isinstance(value, dict) else None
