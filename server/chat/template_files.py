"""Templates as they stand on disk: those of today in Jinja, those of chat2llm with `{input}`, and what none may do.

A template is the operator's own, so nothing here guards against malice; it keeps a slip from taking the server's memory.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

log = logging.getLogger(__name__)

# Characters that a template may add to what it is given, and the largest power that it may compute.
MAX_ADDED = 1_000_000
_MAX_POWER = 1000
# What a template of each kind can name; chat2llm's names among them.
VARIABLES: Mapping[str, tuple[str, ...]] = {
    "llm_chat": ("input",),
    "completion": ("input",),
    "knowledge_base_chat": ("question", "context", "fence"),
    "search_engine_chat": ("question", "context", "fence"),
    "agent_chat": (
        *("now", "knowledge_bases"),
        *("tools", "tool_names", "history", "input", "agent_scratchpad"),
    ),
}
_JINJA = ("{{", "{%", "{#")


def modernised(kind: str, text: str) -> str:
    """A template of chat2llm's form, `{input}`, in Jinja's; one that is Jinja's already, unchanged.

    Names that the kind does not know stay text, as do all other braces.
    """
    names = VARIABLES.get(kind, ())
    if not names or any(mark in text for mark in _JINJA):
        return text
    return re.sub(rf"\{{({'|'.join(names)})\}}", r"{{ \1 }}", text)


class TemplateLoader(FileSystemLoader):
    """Reads `<kind>/<name>.jinja`."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        text, path, is_current = super().get_source(environment, template)
        modern = modernised(template.partition("/")[0], text)
        if modern != text:
            log.info("template of chat2llm's form", extra={"template": template})
        return modern, path, is_current


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox in which a product does not fill the memory."""

    intercepted_binops = frozenset(("*", "**"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" and abs(right) > _MAX_POWER:
            raise OverflowError(f"a power above {_MAX_POWER}")
        for text, count in ((left, right), (right, left)):
            if hasattr(text, "__len__") and isinstance(count, int) and len(text) * count > MAX_ADDED:
                raise OverflowError(f"more than {MAX_ADDED} characters")
        return super().call_binop(context, operator, left, right)


def rendered(template: Template, values: Mapping[str, str]) -> str:
    """The text of a template. Raises OverflowError when there is no end to it."""
    limit = MAX_ADDED + 2 * sum(map(len, values.values()))
    pieces: list[str] = []
    for piece in template.generate(values):
        pieces.append(piece)
        limit -= len(piece)
        if limit < 0:
            raise OverflowError(f"it adds more than {MAX_ADDED} characters")
    return "".join(pieces)
