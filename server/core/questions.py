"""What every door to a knowledge base asks of a question before it costs anything."""

from server.core.errors import Invalid
from server.core.i18n import Text


def check_length(question: str, limit: int) -> None:
    """At most `limit` characters: a model would read them all before anybody else gets its turn. Raises Invalid."""
    if len(question) > limit:
        raise Invalid(
            Text(f"问题过长：最多 {limit} 个字符", f"the question is too long: at most {limit} characters")
        )
