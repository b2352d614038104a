"""A follow-up becomes a question that can be searched for by itself: `病假呢？` after `年假有几天？` is `病假有几天？`.

A language model is asked when the conversation has one; otherwise, and when it fails, rules carry over what is missing: what a
pronoun stands for, what stands in the same place, or what it is about. A question that says itself what it is about stays as it is.
"""

import logging
import re
from collections.abc import Sequence
from contextlib import aclosing

from server.chat.history import Round, estimate_tokens, fit
from server.core.chinese import fold
from server.core.errors import AppError
from server.kb.analysis import question_terms
from server.llm.base import ChatMessage, ChatModel, ModelRequest
from server.llm.quote_model import QuoteModel

log = logging.getLogger(__name__)

# Rounds that a question may follow on, and characters of each question: a pasted page says at once what it is about.
_ROUNDS, _PASTED = 5, 1000
# Tokens of history that the model reads for it and of what it says, and characters of what is taken for a question.
_BUDGET, _ANSWER, _LONGEST = 1500, 200, 300
_ORDER = (
    "请把用户最后的问题改写成一个不看上文也能看懂的完整问题，补全省略的主语和代词所指，不要回答，不要解释，只输出改写后的问题；"
    "若它本来就完整，原样输出。\nRewrite the user's last question so that it can be understood without the conversation, in its own "
    "language. Do not answer it. Output the question only.\n\n问题 / question: "
)

_HAN = r"[\u3400-\u9fff]"
_LEAD = re.compile(r"^(?:那么|那|然后|另外|还有|以及|而|and|so|then)[，,\s]*(?!些|个|种|边|里)", re.I)
# What stands for something said before; 其他 and 该不该 do not.
_PRONOUN = re.compile(
    r"这个|那个|这种|那种|这些|那些|这位|那位|它们|他们|她们|它|(?<!其)他(?!人)|她|前者|后者|此(?=[^外后前时])|该(?!不|怎)|\b(?:it|they|them|this|that|he|she)\b",
    re.I,
)
_OF_IT = re.compile(r"其(?![他它实余中次])|\b(?:its|their|his|her)\b", re.I)
_WHAT_ABOUT = re.compile(r"^(?:what|how) about (?:the )?(.+?)\?*$|^(.{1,20}?)呢[？?。\s]*$", re.I)
_SUBJECT = re.compile(rf"^(.{{2,30}}?)的({_HAN}{{1,6}}?)(?=是|有|为|多|几|怎|如何|在|由|需|要|吗|[？?]|$)")
_ASKING = re.compile(
    r"(?:请问|关于|我想知道|想问一下|what is|what are|how many|how much|how long)[，,\s]*(?:the )?", re.I
)
_ASKED = re.compile(
    r"是什么|什么|有几|有多|是多|几|多少|多久|多长|多大|怎么|怎样|如何|是谁|由谁|谁|哪|何时|为何|可以|能不能|能否|需要|是否|有没有|吗|呢|有|是|在|由|的|[？?。，,！!]"
)
# What somebody does with the topic: alone it says nothing of what the topic is.
_DOINGS = frozenset(
    [
        "申请",
        "批准",
        "审批",
        "办理",
        "报销",
        "计算",
        "使用",
        "取消",
        "查询",
        "领取",
        "开通",
        "续费",
        "处理",
        "负责",
        "提交",
        "规定",
        "标准",
        "流程",
        "步骤",
        "条件",
        "材料",
        "时间",
        "地点",
        "费用",
        "价格",
        "原因",
        "区别",
        "联系",
        "电话",
        "收费",
        "生效",
        "发放",
        "天数",
        "期限",
        "例子",
    ]
)
_CODE = re.compile(r"(?=[A-Za-z0-9-]*\d)[A-Za-z][A-Za-z0-9-]*")
_NUMBER = r"(?:\d+(?:\.\d+)?|[〇零一二两三四五六七八九十百千万亿半]+)"
# An amount, and what it is of: `二十五年`.
_AMOUNT = re.compile(rf"({_NUMBER})({_HAN}{{1,2}})")


def condense_by_rule(question: str, earlier: Sequence[str]) -> str:
    """The question with what the earlier ones, oldest first, say for it."""
    known = ""
    for asked in earlier:
        known = _carry(asked.strip()[:_PASTED], known[:_PASTED])
    return _carry(question.strip(), known[:_PASTED])


def is_follow_up(question: str) -> bool:
    """May it lack something that was said before?"""
    bare = _LEAD.sub("", question.strip())
    if _WHAT_ABOUT.match(bare) or _PRONOUN.search(bare) or _OF_IT.search(bare):
        return True
    content = [part.strip() for part in _ASKED.split(_ASKING.sub("", bare))]
    return all(part in _DOINGS for part in content if len(part) > 1)


def _carry(question: str, before: str) -> str:
    if not before or not any(map(str.isalnum, question)) or not is_follow_up(question):
        return question
    bare = _LEAD.sub("", question)
    topic = _topic(before)
    if (about := _WHAT_ABOUT.match(bare)) and not _PRONOUN.search(bare):
        return _in_its_place((about[1] or about[2]).strip(), before, topic)
    if not topic:
        return question
    if _OF_IT.search(bare):
        return _OF_IT.sub(
            lambda found: f"{topic}的" if found.group() == "其" else f"{topic}'s", bare, count=1
        )
    if _PRONOUN.search(bare):
        return _PRONOUN.sub(lambda _: topic, bare, count=1)
    return f"{topic}{'' if _is_dense(topic) else ' '}{bare}"


def _topic(question: str) -> str:
    """What a question is about: X in `X的Y是多少`, or else what stands before the word that asks."""
    text = _ASKING.sub("", _LEAD.sub("", question))
    if match := _SUBJECT.match(text):
        return match[1]
    return next((part.strip() for part in _ASKED.split(text) if len(part.strip()) > 1), "")


def _in_its_place(new: str, before: str, topic: str) -> str:
    """The earlier question about something else: a code for a code, an amount for one of the same unit, 病假 for 年假, or another
    property of the same thing."""
    if _CODE.fullmatch(new) and (code := _CODE.search(before)):
        return before.replace(code.group(), new, 1)
    if amount := _AMOUNT.fullmatch(new):
        replaced, count = re.subn(rf"{_NUMBER}{amount[2]}", new, before, count=1)
        return replaced if count else f"{new} {before}"
    if _is_dense(new[-1]):
        for match in re.finditer(rf"{_HAN}{{{len(new) - 1}}}{re.escape(new[-1])}", before):
            return before[: match.start()] + new + before[match.end() :]
    if (owned := _SUBJECT.match(before)) and not new.startswith(owned[1]):
        return before.replace(f"{owned[1]}的{owned[2]}", f"{owned[1]}的{new}", 1)
    if topic and not _is_dense(new):
        return before.replace(topic, new, 1)
    return f"{new} {before}"


def _is_dense(text: str) -> bool:
    return bool(text) and "\u3400" <= text[-1] <= "\u9fff"


async def condense(question: str, rounds: Sequence[Round], model: ChatModel) -> str:
    """What to search for. Never fails: the rules are there when the model is not."""
    earlier = list(rounds)[-_ROUNDS:]
    if not earlier or not is_follow_up(question):
        return question
    if not isinstance(model, QuoteModel):
        rewritten = await _ask(question, earlier, model)
        if rewritten:
            return rewritten
    return condense_by_rule(question, [asked for asked, _ in earlier])


async def _ask(question: str, rounds: Sequence[Round], model: ChatModel) -> str:
    """What a language model makes of it; empty when it fails or says something else."""
    order = _ORDER + question
    room = model.context_tokens - _ANSWER - estimate_tokens(order)
    earlier = fit(rounds, min(_BUDGET, room))
    if room < 0 or not earlier:
        return ""
    messages, said = [*earlier, ChatMessage("user", order)], ""
    try:
        async with aclosing(
            model.stream(ModelRequest(messages, question, temperature=0.0, max_tokens=_ANSWER))
        ) as deltas:
            async for delta in deltas:
                said += delta.text
                if len(said) > _LONGEST:
                    return ""
    except AppError as error:
        log.warning("follow-up not rewritten", extra={"code": error.code})
        return ""
    said = said.strip().strip("\"'“”「」")
    # An answer instead of a question shares nothing with it.
    shares = set(question_terms(fold(question))) & set(question_terms(fold(said)))
    return said if said and "\n" not in said and (shares or not question_terms(question)) else ""
