"""`quote`, the answerer in the box: no language model, only sentences of the documents, quoted and cited.

It is what answers until a provider is configured, it never invents, and it says so when nothing fits.
"""

from collections.abc import AsyncGenerator

from server.core.i18n import Language, Text
from server.llm.base import Delta, ModelRequest
from server.llm.quoting import Quote, quote

NAME = "quote"
NOTHING_FOUND = Text(
    "知识库里没有找到能回答这个问题的内容。", "The knowledge base has nothing that answers this question."
)
# The passages go to the reader as sources whatever is said: a question in other words than the text's is one look away.
NOTHING_FITS = Text(
    "知识库里没有找到能直接回答这个问题的内容；列出的资料最接近，供参考。",
    "Nothing in the knowledge base answers this question directly; the listed sources come closest.",
)
NO_MODEL = Text(
    "我只会引用知识库里的原文，还不能自由对话：请选择一个知识库提问，或者请管理员在 configs/config.ini 里配置一个对话模型（[llm] default）。",
    "I only quote documents and cannot chat freely: ask a knowledge base, or have your operator configure a chat model "
    "in configs/config.ini ([llm] default).",
)
# Pieces of about this many characters, so that a page shows the answer growing as it would with any model.
_PIECE = 12
_PARAGRAPH = "\n\n"


class QuoteModel:
    """A ChatModel that quotes."""

    name = NAME
    context_tokens = 1_000_000
    calls_tools = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Delta, None]:
        answer, not_found = self._answer(request)
        for start in range(0, len(answer), _PIECE):
            yield Delta(answer[start : start + _PIECE], not_found=not_found)

    async def close(self) -> None:
        """Nothing is connected."""

    def _answer(self, request: ModelRequest) -> tuple[str, bool]:
        """What to say, and whether that is that there is no answer."""
        language: Language = "en" if request.question.isascii() else "zh"
        if request.passages is None:
            return NO_MODEL.in_language(language), False
        quotes = quote(request.question, request.passages)
        if not quotes:
            return _nothing(request).in_language(language), True
        return _PARAGRAPH.join(_cited(found) for found in quotes), False


def _cited(found: Quote) -> str:
    """The text with its number; behind a Markdown table the number needs a paragraph of its own."""
    is_table = found.text.rpartition("\n")[2].lstrip().startswith("|")
    return f"{found.text}{_PARAGRAPH if is_table else ''}[{found.passage}]"


def _nothing(request: ModelRequest) -> Text:
    if request.passages:
        return NOTHING_FITS
    if request.unread:
        return Text(
            f"知识库里还有 {request.unread} 个文件正在处理，请等它们就绪后再问一次。",
            f"{request.unread} documents of this knowledge base are still being read; ask again when they are ready.",
        )
    return NOTHING_FOUND
