"""Which sites may show the page in a frame: those that a client's operator named."""

from cachetools import TTLCache

from server.auth import repository
from server.db.session import Database

_SECONDS = 5
_CLIENTS = 1000


class Framing:
    """Remembers for a few seconds, so that pages cost no SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._origins: TTLCache[str, str] = TTLCache(_CLIENTS, _SECONDS)

    async def origins_of(self, client_id: str) -> str:
        """Origins separated by spaces; empty for an unknown or disabled client."""
        known: str | None = self._origins.get(client_id)
        if known is None:
            async with self._database.read() as session:
                client = await repository.find_client(session, client_id)
            known = client.frame_ancestors if client is not None and client.enabled else ""
            self._origins[client_id] = known
        return known
