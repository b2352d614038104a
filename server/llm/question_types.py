"""What a question asks for, and how an answer of that kind looks. All texts here are normalised (lower case).

Expected answer types are the classical cue of question answering: Moldovan et al., The Structure and Performance of
an Open-Domain Question Answering System, ACL 2000. They are hints here, never a condition.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AnswerType:
    """`asks` recognises the question; `answers` finds what may be an answer in a passage."""

    name: str
    asks: re.Pattern[str]
    answers: re.Pattern[str]


def _type(name: str, asks: str, answers: str) -> AnswerType:
    return AnswerType(name, re.compile(asks), re.compile(answers))


_NUMERAL = "一二三四五六七八九十百千万萬亿億两兩〇零几幾半数數"
_MONTHS = "january|february|march|april|may|june|july|august|september|october|november|december"
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"

# The first one that matches counts.
ANSWER_TYPES = (
    _type(
        "time",
        r"什[么麼]?时[候间期]|什[么麼]時[候間期]|什么时|何[时時]|哪[一]?[年天日月]|几[年月号点]|幾[年月號點]|[时時][间間候]|日期|年代|世[纪紀]"
        r"|\bwhen\b|\b(?:what|which) (?:year|day|date|time|month)\b|\bhours\b",
        rf"\d+\s*[年月日号號世点點时時:]|[{_NUMERAL}]+[年月日]|世[纪紀]|年代|[时時]期|公元|期[间間]|周[{_NUMERAL}日]|星期|[春夏秋冬][季天]"
        rf"|\b\d{{4}}\b|\d\s*[ap]\.?m|\b(?:{_MONTHS}|{_DAYS})\b",
    ),
    _type(
        "number",
        r"多少|几|幾|多[大长長高远遠久重深宽寬快]|\bhow (?:many|much|long|old|far|often|large|big|high|tall)\b",
        rf"\d+(?:[.,]\d+)*|[{_NUMERAL}]+\s*[个個名位人年月天日次座所家[条條种種米公里千部届屆集岁歲艘架辆輛层層站间間元小块塊]|%|百分"
        r"|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|hundred|thousand|million)\b",
    ),
    _type(
        "reason",
        r"[为為]什[么麼]|[为為]何|原因|因何|因什[么麼]|\bwhy\b|\breason\b",
        r"因[为為]|由[于於]|因此|所以|[导導]致|原因|因而|[为為]了|使得|以致|因|由|故|\bbecause\b|\bdue to\b|\bsince\b|\bso that\b",
    ),
    _type(
        "place",
        r"哪[里裡裏儿兒]|在哪|何[地处處]|什[么麼]地方|哪一?[个個]?(?:[国國]家?|城市|地|省|市|[区區]|[县縣]|洲|州|[岛島])|位置|\bwhere\b",
        r"[省市县縣区區镇鎮乡鄉村州国國岛島山湖河江海洋路街城港湾灣庄莊府郡道洲室楼樓]|位[于於]|地[区區]|大[学學]|[东東西南北]部|\b(?:in|at|on|near)\b",
    ),
    _type(
        "person",
        r"[谁誰]|哪位|哪一位|何人|什[么麼]人|哪[个個]人|哪些人|\bwho(?:m|se)?\b",
        r"[·•]|先生|女士|教授|博士|经理|經理|主任|[总總][监監裁]|[创創]始人|作者|[^\W\d_]\.\s|\b(?:dr|mr|mrs|ms)\b",
    ),
    _type("list", r"哪些|哪[几幾两兩三四五]|\bwhich\b", r"[、;]|以及|和|包括|及|\band\b|\bor\b"),
    _type(
        "name",
        r"叫什[么麼]|[称稱][为為]|又[称稱]|[别別]名|名字|[称稱]作|俗[称稱]|本名|原名|全名|英文名|学名|學名|\bcalled\b|\bname\b",
        r"[《「“\"(]|[称稱叫名又即]",
    ),
    _type(
        "definition",
        r"什[么麼]是|是什[么麼]|是指|\bwhat (?:is|are)\b",
        r"是|[为為]|指|即|[称稱]|\b(?:is|are|means)\b",
    ),
)

# Words that ask, and words that stand in any question: they tell nothing about its topic. Longer ones are tried first.
_CHINESE_FILLERS = (
    "请问 是什么 什么是 为什么 什么时候 什么时间 什么时期 什么样 什么 哪一年 哪一 哪个 哪些 哪里 哪儿 哪位 哪年 哪几 哪 谁 何时 为何 何 "
    "多少 多大 多长 多久 多高 多远 几 怎么样 怎么办 怎么 怎样 如何 吗 呢 "
    "請問 是什麼 什麼是 為什麼 什麼時候 什麼時間 什麼時期 什麼樣 什麼 哪個 哪裡 哪裏 哪兒 哪幾 誰 何時 為何 多長 多遠 幾 怎麼樣 怎麼辦 怎麼 "
    "怎樣 嗎 "
    "能不能 能否 是否 有没有 有沒有 可不可以 可以 可否 需要 应该 应当 必须 應該 應當 必須 我们 我們 他们 他們 她们 她們 一下 告诉 告訴 "
    "主要 属于 屬於 位于 位於 进行 進行 根据 根據 叫做"
)
_ENGLISH_FILLERS = (
    "a about all am an and any are as at be been being but by can could did do does far for from get give had has have he her him his "
    "how i if in into is it its kind long many may me much must my need of often old on one or our please shall she should so some tell "
    "than that the their them there these they this those to us was we were what when where which who whom whose why will with would you your"
)


def _any_of(words: str) -> str:
    return "|".join(sorted(words.split(), key=len, reverse=True))


_COUNTED = r"(?:几|幾|多少)(?:个月|個月|小时|小時|分钟|分鐘|[个個天年月日号號点點次位名人岁歲级級元块塊层層间間条條种種台分家]钱?|钱|錢)"
_FILLERS = re.compile(rf"{_COUNTED}|{_any_of(_CHINESE_FILLERS)}|\b(?:{_any_of(_ENGLISH_FILLERS)})\b(?!\.\w)")


# What is asked of a topic: the last noun of `X的Y是多少`.
_ATTRIBUTE = re.compile(
    r"的([\u3400-\u9fff]{2,4}?)(?:(?:是|为|有|叫)(?:多少|几|什么|谁|哪|怎)|多少|几|怎么样|[?\s]*$)"
)


def attribute(question: str) -> str:
    """What is asked of the topic, if the question says so: 工资 in 主任的工资是多少."""
    match = _ATTRIBUTE.search(question)
    return match[1] if match else ""


def answer_type(question: str) -> AnswerType | None:
    """The first type that the question asks for, if any."""
    return next((kind for kind in ANSWER_TYPES if kind.asks.search(question)), None)


def without_fillers(question: str) -> str:
    """The question with a space where a word stood that tells nothing about its topic."""
    return _FILLERS.sub(" ", question)
