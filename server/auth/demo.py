"""The demo: whoever knows the passphrase is a reader of the demo client, under an id of their own browser."""

import hashlib
import hmac
import secrets
from pathlib import Path

from server.auth import repository
from server.auth.models import User
from server.auth.principal import Role
from server.auth.service import start_session
from server.auth.vault import Vault, make_secret_file
from server.core.clock import Clock
from server.core.errors import Unauthenticated
from server.core.i18n import Text
from server.core.settings import AuthSettings
from server.db.session import Database

# The contract's number for "a browser comes by itself".
DEMO_CLIENT = "0"
DEMO_DESCRIPTION = "演示：凭口令从浏览器直接访问"


def passphrase_file(data_dir: Path) -> Path:
    return data_dir / "secrets" / "demo_passphrase"


def make_passphrase(data_dir: Path) -> bool:
    """Draw a passphrase by lot at the first start; False when there is one already."""
    return make_secret_file(passphrase_file(data_dir), secrets.token_urlsafe(18))


def read_passphrase(data_dir: Path) -> str | None:
    """The passphrase, or None when none was made."""
    try:
        return passphrase_file(data_dir).read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None


class Demo:
    """Logs demo visitors in."""

    def __init__(
        self, database: Database, vault: Vault, settings: AuthSettings, clock: Clock, passphrase: str | None
    ) -> None:
        """`passphrase` None turns the demo off."""
        self._database, self._vault, self._settings, self._clock = database, vault, settings, clock
        self._digest = hashlib.sha256(passphrase.encode()).digest() if passphrase and settings.demo else None

    async def login(self, passphrase: str, cookie: str | None) -> tuple[str, str]:
        """Return a session's secret and the visitor's cookie, which brings them back to their own chats.

        The cookie is signed: the demo client's other users, whom its issuer vouches for, are nobody's to name here.

        Raises Unauthenticated; the comparison takes the same time whatever is wrong.
        """
        given = hashlib.sha256(passphrase.encode("utf-8", "surrogatepass")).digest()
        if self._digest is None or not hmac.compare_digest(given, self._digest):
            raise Unauthenticated(
                Text("单点失败, 请提供正确口令", "sign-on failed: give the right passphrase")
            )
        now = self._clock.now()
        async with self._database.write() as session:
            visitor = self._vault.unsign(cookie) if cookie else None
            user = await repository.find_user(session, DEMO_CLIENT, visitor) if visitor else None
            if user is None:
                fresh = User(
                    client_id=DEMO_CLIENT,
                    id=f"demo-{secrets.token_hex(16)}",
                    username="访客",
                    role=Role.READER,
                    enabled=True,
                    created_at=now,
                )
                user = await repository.add_user(session, fresh)
            return await start_session(session, user, self._settings, now), self._vault.sign(user.id)
