"""How badly a question came out, so that an editor begins with the worst."""

from server.evaluation.models import Result

# Nothing that should be found was, or what is said must not be; deeper than any search goes.
_LOST = 50.0
_FAILED = 2 * _LOST
_LACKING = 0.5


def badness(result: Result) -> float:
    """0: as it should be. What failed, what was lost or decided wrongly, then how late it was found and what its answer lacks."""
    if result.error_code is not None or result.outcome == "failed":
        return _FAILED
    if _is_decided_wrongly(result):
        return _LOST
    found = [rank for rank in result.ranks if rank is not None]
    late = (min(found) if found else _LOST) - 1 if result.ranks else 0.0
    return late + (_LACKING if result.contains_gold is False else 0.0)


def _is_decided_wrongly(result: Result) -> bool:
    """Answered what has no answer, or refused what has one."""
    answerable = result.asked.get("answerable")
    if result.outcome is None or answerable is None:
        return False
    return bool(answerable) == (result.outcome == "not_found")
