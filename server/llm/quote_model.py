"""`quote`, the answerer in the box: no language model, only sentences of the documents, quoted and cited.

It is what answers until a provider is configured, it never invents, and it says so when nothing fits.
"""

from collections.abc import AsyncGenerator

from server.core.chinese import fold
from server.core.i18n import Language, Text
from server.llm.base import Delta, ModelRequest
from server.llm.quoting import Quote, quote

NAME = "quote"
NOTHING_FOUND = Text(
    "知识库里没有找到能回答这个问题的内容。", "The knowledge base has nothing that answers this question."
)
NO_MODEL = Text(
    "我只会引用知识库里的原文，还不能自由对话：请选择一个知识库提问。要自由对话，需要管理员接上一个对话模型。",
    "I only quote documents and cannot chat freely: ask a knowledge base. To chat freely takes a chat model, which your "
    "operator can add.",
)
# Pieces of about this many characters, so that a page shows the answer growing as it would with any model.
_PIECE = 12
_PARAGRAPH = "\n\n"


class QuoteModel:
    """A ChatModel that quotes."""

    name = NAME
    context_tokens = 1_000_000
    calls_tools = False

    def __init__(self, refusal: Text = NOTHING_FOUND) -> None:
        """`refusal`: what is said when the passages have no answer. They go to the reader as sources all the same: a question in
        other words than the text's is one look away."""
        self._refusal = refusal

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
        quotes = quote(request.question, request.passages, fold=lambda text: request.spelling(fold(text)))
        if not quotes:
            return _waiting(request, self._refusal).in_language(language), True
        return _PARAGRAPH.join(_cited(found) for found in quotes), False


def _cited(found: Quote) -> str:
    """The text with its number; behind a Markdown table the number needs a paragraph of its own."""
    is_table = found.text.rpartition("\n")[2].lstrip().startswith("|")
    return f"{found.text}{_PARAGRAPH if is_table else ''}[{found.passage}]"


def _waiting(request: ModelRequest, refusal: Text) -> Text:
    """The refusal; or that the answer may be in what is not read yet."""
    if not request.passages and request.unread:
        return Text(
            f"知识库里还有 {request.unread} 个文件正在处理，请等它们就绪后再问一次。",
            f"{request.unread} documents of this knowledge base are still being read; ask again when they are ready.",
        )
    return refusal
