"""Requests that answer when their documents are searchable, for scripts that upload and then ask."""

from fastapi import Request

from server.core.departure import unless_gone
from server.core.errors import AppError
from server.core.settings import CompatSettings
from server.kb.follow import Rereading
from server.kb.schemas import WaitingFields
from server.kb.upkeep import Upkeep

Outcomes = dict[str, AppError | None]


async def outcomes(
    request: Request, upkeep: Upkeep, compat: CompatSettings, fields: WaitingFields, documents: Rereading
) -> Outcomes:
    """What became of those that ended while the request waits, by name; empty when it does not, or the reader has left."""
    seconds = compat.wait_for_uploads.total_seconds() if fields.wait is None else fields.wait
    if not seconds or not documents.documents:
        return {}
    on_their_way = Rereading(documents.kb, documents.documents)
    return await unless_gone(request, upkeep.follower.wait(on_their_way, seconds)) or {}


def failures(ended: Outcomes) -> dict[str, AppError]:
    return {name: error for name, error in ended.items() if error is not None}
