"""Templates as they stand on disk: those of today in Jinja, those of chat2llm with `{input}`, and what none may do.

A template is the operator's own, so nothing here guards against malice; it keeps a slip from taking the server's memory.
"""

import functools
import logging
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from jinja2 import Environment, FileSystemLoader, Template, TemplateSyntaxError
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
# Widths of seven digits and more: in `%9000000d` (or from elsewhere, `%*d`), and in `{:9000000}`.
_WIDE_FORMAT = re.compile(r"%(\([^)]*\))?[-+ #0-9.]*(\d{7}|\*)")
_WIDE_FIELD = re.compile(r":[^}]*\d{7}")
_JINJA = ("{{", "{%", "{#")


def modernised(kind: str, text: str) -> str:
    """A template of chat2llm's form, `{input}`, in Jinja's; one that is Jinja's already, unchanged.

    Names that the kind does not know stay text, as do all other braces.
    """
    names = VARIABLES.get(kind, ())
    if not names or any(mark in text for mark in _JINJA):
        return text
    return re.sub(rf"\{{({'|'.join(names)})\}}", r"{{ \1 }}", text)


def modernised_format(kind: str, text: str) -> str | None:
    """A template of chat2llm's form that doubles its other braces, `{{"action": …}}`, in Jinja's; None if it names nothing."""
    pattern = re.compile(rf"\{{\{{|\}}\}}|\{{({'|'.join(VARIABLES.get(kind, ()))})\}}|\{{")
    if not any(found[1] for found in pattern.finditer(text)):
        return None

    def modern(found: re.Match[str]) -> str:
        if found[1]:
            return f"{{{{ {found[1]} }}}}"
        return "}" if found[0] == "}}" else "{{ '{' }}"

    return pattern.sub(modern, text)


class TemplateLoader(FileSystemLoader):
    """Reads `<kind>/<name>.jinja`."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, str, Callable[[], bool]]:
        text, path, is_current = super().get_source(environment, template)
        kind = template.partition("/")[0]
        modern = modernised(kind, text)
        try:
            environment.parse(modern)
        except TemplateSyntaxError:
            modern = modernised_format(kind, text) or modern
        if modern != text:
            log.info("template of chat2llm's form", extra={"template": template})
        return modern, path, is_current


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """A sandbox in which no product, filter or method fills the memory."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.filters = {name: _bounded(name, function) for name, function in self.filters.items()}
        del self.globals["lipsum"]  # as many words as one likes

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        if isinstance(getattr(__obj, "__self__", None), str | int):  # 'x'.ljust(…)
            _check_numbers((*args, *kwargs.values()))
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is not None and _WIDE_FIELD.search(value.__self__):
            raise OverflowError(f"a width above {MAX_ADDED}")
        return wrapped

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%":
            if isinstance(left, str):
                _check_format(left)
            return super().call_binop(context, operator, left, right)
        if operator == "**" and abs(right) > _MAX_POWER:
            raise OverflowError(f"a power above {_MAX_POWER}")
        for text, count in ((left, right), (right, left)):
            if hasattr(text, "__len__") and isinstance(count, int) and len(text) * count > MAX_ADDED:
                raise OverflowError(f"more than {MAX_ADDED} characters")
        return super().call_binop(context, operator, left, right)


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that refuses to add more than MAX_ADDED."""
    first = 2 if hasattr(function, "jinja_pass_arg") else 1

    @functools.wraps(function)
    def filtered(*args: Any, **kwargs: Any) -> Any:
        value, given = args[first - 1], (*args[first:], *kwargs.values())
        _check_numbers(given)
        if name == "format":
            _check_format(str(value))
        if name == "indent":
            width = next(iter(given), 4)
            added = str(value).count("\n") * (len(width) if isinstance(width, str) else int(width))
            _check_numbers((added,))
        return function(*args, **kwargs)

    return filtered


def _check_numbers(values: Iterable[object]) -> None:
    """Raises OverflowError at one that would make a text too long, be it as a width or as a count."""
    if any(isinstance(value, int) and value > MAX_ADDED for value in values):
        raise OverflowError(f"a number above {MAX_ADDED}")


def _check_format(text: str) -> None:
    if _WIDE_FORMAT.search(text):
        raise OverflowError(f"a width above {MAX_ADDED}, or one that is not written out")


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
