"""What a text is matched by: pairs of Chinese characters, and words and numbers of other scripts.

Character bigrams need no dictionary and retrieve Chinese about as well as words do (Nie et al., On the Use of Words
and N-grams for Chinese Information Retrieval, IRAL 2000).
"""

import re
import unicodedata

from server.llm.quantities import with_digits

# The 300 most frequent characters of Chinese (60 % of running text), from the word frequencies in dict.txt of jieba
# (MIT), and the Traditional forms of those that differ. What they form says less about a topic than rare characters.
_FREQUENT = frozenset(
    "一是人了不在有大中国和为这上他个地年来我会以到时要出的生学说道民家子也成行下们于后就发自之对得主长可过天作分方用多你着"
    "部能市等业全里工公经本都而高政法面门动日进区事代那去心小同北定开产前其军还然起种所如现理机体表力好外与文当两实重新三么"
    "只山水关明从化平建又制南内西没此将员名手最东头者月间无安看见各城十相但已些正口通想度加第她合院物性战由位常点海意场武使"
    "次二向治因立数样身情入原问把路被并利石老教万知级量任江及应省资委务元美特期世湖回系比气汉总展电科金先声提品设或义王社很"
    "统处四首共马形己儿司太目基领队直计别女权话少流命至报米给打变果书清活几州华解议更称程今决张导术府才保交放管结师便走达族"
    "反再题色五"
    "國爲為這個來會時學說們於後發對長過業裏裡經門動進區開產軍還種現機體與當兩實麼關從內沒將員東頭間無見戰點場數樣問並萬級應"
    "資務氣漢總電聲設義統處馬兒領隊計別權話報給變書幾華議稱決張導術結師達題"
)
# Function words of one character, in both scripts, stand in any sentence.
_FUNCTION = frozenset(
    "是的了在有被由于於和与與也都又会會到其这這那为為爲把对對从從以中之能要还還再就请請我你您他她它叫"
)
_FUNCTION_WEIGHT = 0.1
_FREQUENT_WEIGHT = 0.4
_RARE_WEIGHT = 1.0
# A word or a number of another script counts like a pair of rare characters.
_WORD_WEIGHT = 2.0

_HAN = r"\u3400-\u9fff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"[{_HAN}]+|\d+(?:[.,:]\d+)*|[^\W\d_{_HAN}]+(?:['’][^\W\d_{_HAN}]+)?")
_IS_HAN = re.compile(rf"[{_HAN}]")
_SUFFIX = re.compile(r"(?:['’]s|ing|ed|es|e|s)$")
# Characters that must stay when a suffix goes.
_SHORTEST_STEM = 3


# Latin abbreviations that Chinese offices use as often as the words. In English text `it` is a pronoun.
_ABBREVIATIONS = {
    "it": "信息技术",
    "hr": "人力资源",
    "ai": "人工智能",
    "pc": "电脑",
    "wifi": "无线网络",
    "wi-fi": "无线网络",
    "email": "邮件",
    "e-mail": "邮件",
}
_ABBREVIATION = re.compile(
    rf"(?<![a-z])(?:{'|'.join(_ABBREVIATIONS)})(?=[ ]?[{_HAN}])|(?<=[{_HAN}])(?:{'|'.join(_ABBREVIATIONS)})(?![a-z])"
)


def normalise(text: str) -> str:
    """Both sides are spelt alike: half-width forms, lower case, digits for numerals, no Latin abbreviations."""
    text = unicodedata.normalize("NFKC", text).lower()
    return with_digits(_ABBREVIATION.sub(lambda match: _ABBREVIATIONS[match.group()], text))


def is_han(term: str) -> bool:
    """True for Chinese characters and pairs of them."""
    return _IS_HAN.match(term) is not None


def terms(text: str) -> list[str]:
    """The terms of a normalised text in order: character pairs (a lone character stands alone), stems, numbers."""
    found: list[str] = []
    for token in _TOKEN.findall(text):
        if not is_han(token):
            found.append(_stem(token))
        elif len(token) == 1:
            found.append(token)
        else:
            found += [token[i : i + 2] for i in range(len(token) - 1)]
    return found


def vocabulary(text: str) -> set[str]:
    """All that a normalised text can be asked for: its terms and its single characters."""
    found = set(terms(text))
    return found | {character for term in found for character in singles(term)}


def is_abridged(term: str, text: str) -> bool:
    """True if the text has the pair with one character in between: how long words are shortened (年休假, 年假)."""
    if len(term) != 2 or not is_han(term) or term[1] not in text:
        return False
    start = text.find(term[0])
    while start >= 0:
        if text[start + 2 : start + 3] == term[1] and is_han(text[start + 1]):
            return True
        start = text.find(term[0], start + 1)
    return False


def singles(term: str) -> list[str]:
    """The characters of a Chinese term; a word or number is one single thing."""
    return list(term) if is_han(term) else [term]


def weight(term: str) -> float:
    """How much a term tells about a topic, judged by the language alone (the idea of idf, Spärck Jones 1972)."""
    if not is_han(term):
        return _WORD_WEIGHT
    return sum(_character_weight(character) for character in term)


def _character_weight(character: str) -> float:
    if character in _FUNCTION:
        return _FUNCTION_WEIGHT
    return _FREQUENT_WEIGHT if character in _FREQUENT else _RARE_WEIGHT


def _stem(word: str) -> str:
    """Cut an English ending so that `claims` meets `claim`; "1,000" becomes "1000"."""
    if word[0].isdigit():
        return word.replace(",", "")
    stem = _SUFFIX.sub("", word)
    return stem if len(stem) >= _SHORTEST_STEM else word
