"""Prompt templates: `<prompts_dir>/<kind>/<name>.jinja`, edited on disk and picked up at the next question.

Templates run in a sandbox. What documents and people wrote goes in as values, never as template; around documents
stands a fence that is drawn by lot for each prompt, so that no document can close it.
"""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from jinja2 import StrictUndefined, TemplateNotFound

from server.chat.template_files import TemplateEnvironment, TemplateLoader, rendered
from server.core.errors import PromptBroken, PromptNotFound
from server.core.i18n import Text

# The chats that are conversations: they are stored under these names.
Mode = Literal["llm_chat", "knowledge_base_chat", "search_engine_chat", "agent_chat"]
# A folder of templates each.
TemplateKind = Literal[Mode, "completion"]
KINDS: tuple[TemplateKind, ...] = get_args(TemplateKind)
# Those whose prompts hold passages.
Grounded = Literal["knowledge_base_chat", "search_engine_chat"]
# The template for a question that found nothing.
EMPTY = "Empty"
_NAME = re.compile(r"[\w-]{1,64}")


class Prompts:
    """The folder of templates. Every method may read a file, and run what stands there: call it from the `templates`
    lane."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._environment = TemplateEnvironment(
            loader=TemplateLoader(folder),
            undefined=StrictUndefined,
            auto_reload=True,
            keep_trailing_newline=False,
        )

    def names(self, kind: TemplateKind) -> list[str]:
        """Those that can be asked for: other files and folders are none."""
        found = (self._folder / kind).glob("*.jinja")
        return sorted(path.stem for path in found if _NAME.fullmatch(path.stem) and path.is_file())

    def check(self, kind: TemplateKind, name: str) -> None:
        """Raises PromptNotFound with the names there are. A name is a key, never a path."""
        names = self.names(kind)
        if name not in names:
            raise PromptNotFound(name, names)

    def source(self, kind: TemplateKind, name: str) -> str:
        """A template's text as it stands on disk. Raises PromptNotFound."""
        self.check(kind, name)
        try:
            return (self._folder / kind / f"{name}.jinja").read_text(encoding="utf-8").removesuffix("\n")
        except FileNotFoundError:
            raise PromptNotFound(name, self.names(kind)) from None
        except (OSError, ValueError) as error:
            raise _broken(f"{kind}/{name}.jinja", Text(type(error).__name__, type(error).__name__)) from error

    def render_chat(self, name: str, question: str) -> str:
        """A prompt without documents."""
        return self._render("llm_chat", name, input=question)

    def render_completion(self, name: str, text: str) -> str:
        """A text to go on with."""
        return self._render("completion", name, input=text)

    def render_grounded(
        self,
        name: str,
        question: str,
        sources: Sequence[tuple[int, str, str]],
        kind: Grounded = "knowledge_base_chat",
        *,
        refusal: str = "根据已知资料无法回答该问题",
    ) -> str:
        """A prompt with passages: (number, place, text) each. Without any, the `Empty` template.

        `refusal`: what the model is to say when they have no answer.
        """
        context = "\n\n".join(f"[{number}] {place}\n{text}" for number, place, text in sources)
        fence = f"-----{secrets.token_hex(8)}-----"
        given = {"question": question, "context": context, "fence": fence, "refusal": refusal}
        return self._render(kind, name if sources else EMPTY, **given)

    def render_agent(
        self,
        name: str,
        *,
        now: str,
        knowledge_bases: str,
        question: str = "",
        tools: Sequence[tuple[str, str]] = (),
    ) -> str:
        """What an agent is told before the conversation; `knowledge_bases`: one a line, empty when there are none.

        The question and the tools, (name, description) each, are for chat2llm's templates: the model is given them anyway.
        """
        return self._render(
            "agent_chat",
            name,
            now=now,
            knowledge_bases=knowledge_bases,
            input=question,
            tools="\n".join(f"{tool}: {words}" for tool, words in tools),
            tool_names=", ".join(tool for tool, _ in tools),
            history="",
            agent_scratchpad="",
        )

    def _render(self, kind: TemplateKind, name: str, **values: str) -> str:
        self.check(kind, name)
        path = f"{kind}/{name}.jinja"
        try:
            return rendered(self._environment.get_template(path), values)
        except TemplateNotFound as error:
            if error.name == path:
                raise PromptNotFound(name, self.names(kind)) from None
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
