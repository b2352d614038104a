"""Prompt templates: `<prompts_dir>/<mode>/<name>.jinja`, edited on disk and picked up at the next question.

Templates run in a sandbox. What documents and people wrote goes in as values, never as template; around documents
stands a fence that is drawn by lot for each prompt, so that no document can close it.
"""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from jinja2 import FileSystemLoader, StrictUndefined, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.core.errors import PromptBroken, PromptNotFound
from server.core.i18n import Text

Mode = Literal["llm_chat", "knowledge_base_chat"]
# The template for a question that found nothing.
EMPTY = "Empty"
_NAME = re.compile(r"[\w-]{1,64}")


class Prompts:
    """The folder of templates. Every method may read a file; call it from the `io` lane."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(folder),
            undefined=StrictUndefined,
            auto_reload=True,
            keep_trailing_newline=False,
        )

    def names(self, mode: Mode) -> list[str]:
        return sorted(path.stem for path in (self._folder / mode).glob("*.jinja"))

    def check(self, mode: Mode, name: str) -> None:
        """Raises PromptNotFound with the names there are. A name is a key, never a path."""
        if not _NAME.fullmatch(name) or name not in self.names(mode):
            raise PromptNotFound(name, self.names(mode))

    def render_chat(self, name: str, question: str) -> str:
        """A prompt without documents."""
        return self._render("llm_chat", name, input=question)

    def render_grounded(self, name: str, question: str, sources: Sequence[tuple[int, str, str]]) -> str:
        """A prompt with documents: (number, place, text) each. Without any, the `Empty` template."""
        context = "\n\n".join(f"[{number}] {place}\n{text}" for number, place, text in sources)
        fence = f"-----{secrets.token_hex(8)}-----"
        return self._render(
            "knowledge_base_chat", name if sources else EMPTY, question=question, context=context, fence=fence
        )

    def _render(self, mode: Mode, name: str, **values: str) -> str:
        self.check(mode, name)
        path = f"{mode}/{name}.jinja"
        try:
            return self._environment.get_template(path).render(values)
        except TemplateNotFound as error:
            if error.name == path:
                raise PromptNotFound(name, self.names(mode)) from None
            raise _broken(
                path, Text(f"找不到它引用的 {error.name}", f"it includes {error.name}, which is not there")
            ) from None
        except Exception as error:
            # A template is a program of the operator's: it may raise whatever Python can.
            reason = f"{type(error).__name__}: {error}"
            raise _broken(path, Text(reason, reason)) from error


def _broken(path: str, reason: Text) -> PromptBroken:
    return PromptBroken(
        Text(f"提示词模板 {path} 有误：{reason.zh}", f"the prompt template {path} is broken: {reason.en}")
    )
