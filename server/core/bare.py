"""A body that is one bare text, as the contract has it for two of its paths."""

from codecs import BOM_UTF8

from starlette.requests import Request

from server.core.errors import Invalid
from server.core.i18n import Text


async def read_bare(request: Request, field: str) -> str:
    """A JSON string, an object with `field`, or raw text, whatever the content type says. Raises Invalid."""
    body = (await request.body()).removeprefix(BOM_UTF8).strip()
    if body.startswith((b'"', b"{", b"[")):
        value = await request.json()
        if isinstance(value, dict):
            value = value.get(field)
    else:
        value = body.decode("utf-8", "replace")
    if not isinstance(value, str) or not value or "\0" in value:
        error = Invalid(Text(f"请求体应是 {field}", f"the body should be {field}"))
        error.old_code = None if value else 404
        raise error
    return value
