"""What people are told later of an answer that failed: its row keeps a code, and the model's name."""

from collections.abc import Callable, Mapping

from server.core.i18n import Text
from server.llm import upstream

_FAILED = Text("回答失败，请重试", "the answer failed; try again")
_INTERNAL = Text("服务器内部错误，请稍后再试", "internal error; try again later")
_BROKEN = Text("提示词模板有误，请管理员检查", "the prompt template is broken; your operator must mend it")
_EMBEDDING = Text("向量模型暂时不可用，请稍后再试", "the embedding model is not available; try again later")


def _refused(model: str) -> Text:
    return Text(f"模型服务 {model} 不接受这次请求", f"the provider of {model} refused this request")


_BY_CODE: Mapping[str, Callable[[str], Text]] = {
    "upstream_timeout": lambda model: upstream.timed_out(model).text,
    "upstream_unreachable": lambda model: upstream.unreachable(model).text,
    "upstream_empty": lambda model: upstream.no_answer(model).text,
    "upstream_cut": lambda model: upstream.cut(model).text,
    "upstream_busy": lambda model: upstream.by_status(model, 429, {}).text,
    "upstream_key_missing": lambda model: upstream.key_missing(model).text,
    "upstream_key_refused": lambda model: upstream.key_refused(model).text,
    "upstream_refused": _refused,
    "upstream_error": lambda model: upstream.broken(model).text,
    "prompt_broken": lambda _: _BROKEN,
    "embedding_unavailable": lambda _: _EMBEDDING,
    "embedding_mismatch": lambda _: _EMBEDDING,
    "internal_error": lambda _: _INTERNAL,
}


def describe_failure(code: str | None, model: str) -> Text:
    """The words for `message.error_code`; general ones for a code that has none of its own."""
    words = _BY_CODE.get(code or "")
    return words(model) if words else _FAILED
