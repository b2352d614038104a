"""What every door to a knowledge base asks of a question, and when two questions are the same."""

import hashlib
import re
import unicodedata

from server.core.errors import Invalid
from server.core.i18n import Text

_BLANKS = re.compile(r"\s+")
# Between Chinese characters a blank means nothing.
_BESIDE_CJK = re.compile(r"(?<=[\u3000-\u9fff]) | (?=[\u3000-\u9fff])")
_ENDINGS = " ?!.。,、;~…"


def check_length(question: str, limit: int) -> None:
    """At most `limit` characters: a model would read them all before anybody else gets its turn. Raises Invalid."""
    if len(question) > limit:
        raise Invalid(
            Text(f"问题过长：最多 {limit} 个字符", f"the question is too long: at most {limit} characters")
        )


def question_key(question: str) -> str:
    """The same for questions that differ in width, case, blanks and the punctuation at the end only; 64 characters.

    The column `question.query_key` holds these: who changes this rule changes the column too.
    """
    text = _BLANKS.sub(" ", unicodedata.normalize("NFKC", question).casefold()).strip()
    text = _BESIDE_CJK.sub("", text)
    return hashlib.sha256((text.rstrip(_ENDINGS) or text).encode()).hexdigest()
