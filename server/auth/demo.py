"""The demo: whoever knows the passphrase is a reader of the demo client, under an id of their own browser."""

import hashlib
import hmac
import secrets
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncSession

from server.auth import repository
from server.auth.guard import Guard
from server.auth.models import User
from server.auth.secret_files import make_secret_file, read_secret_file
from server.auth.signon import Arrival, SignOn
from server.auth.users import DEMO_CLIENT, VISITOR_PREFIX, check_client, meet_user
from server.auth.vault import Vault
from server.core.clock import Clock
from server.core.errors import Forbidden, Unauthenticated
from server.core.i18n import Text
from server.core.settings import AuthSettings
from server.db.session import Database

DEMO_DESCRIPTION = "演示：凭口令从浏览器直接访问"
_OFF = Text("演示没有开启，请从你自己的系统进入", "the demo is off; come in from your own system")


def passphrase_file(data_dir: Path) -> Path:
    return data_dir / "secrets" / "demo_passphrase"


def make_passphrase(data_dir: Path) -> bool:
    """Draw a passphrase by lot at the first start; False when there is one already."""
    return make_secret_file(passphrase_file(data_dir), secrets.token_urlsafe(18))


def read_passphrase(data_dir: Path) -> str | None:
    """The passphrase, or None when none was made. Raises SettingsError for a file that cannot be read."""
    remedy = "write a passphrase of your own, or delete the file: the next start makes one"
    try:
        return read_secret_file(passphrase_file(data_dir), remedy) or None
    except FileNotFoundError:
        return None


class Demo:
    """Logs demo visitors in."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        signon: SignOn,
        guard: Guard,
        settings: AuthSettings,
        clock: Clock,
        passphrase: str | None,
    ) -> None:
        """`passphrase` None turns the demo off."""
        self._database, self._vault, self._signon, self._guard = database, vault, signon, guard
        self._settings, self._clock = settings, clock
        self._digest = hashlib.sha256(passphrase.encode()).digest() if passphrase and settings.demo else None

    async def enter(self, passphrase: str, cookie: str | None, address: str) -> tuple[Arrival, str]:
        """Return where the visitor goes, and the cookie that brings them back to their own chats.

        The cookie is signed: the demo client's other users, whom its issuer vouches for, are nobody's to name here.

        Raises Unauthenticated, Forbidden while the demo or its client is off, and TooManyRequests: after too many wrong
        passphrases, and for too many visits, of new visitors above all.
        """
        if self._digest is None:
            raise Forbidden(_OFF)
        self._guard.check_demo(address)
        given = hashlib.sha256(passphrase.encode("utf-8", "surrogatepass")).digest()
        if not hmac.compare_digest(given, self._digest):
            self._guard.passphrase_was_wrong(address)
            raise Unauthenticated(
                Text("单点失败, 请提供正确口令", "sign-on failed: give the right passphrase")
            )
        self._guard.check_exchange(address)
        async with self._database.write() as session:
            await check_client(session, DEMO_CLIENT)
            user = await self._visitor(session, self._vault.unsign(cookie) if cookie else None, address)
            return await self._signon.hand_over(session, user, "demo"), self._vault.sign(user.id)

    async def _visitor(self, session: AsyncSession, known: str | None, address: str) -> User:
        now = self._clock.now()
        user = await repository.find_user(session, DEMO_CLIENT, known) if known else None
        if user is None:
            self._guard.check_visit(address)
            fresh = f"{VISITOR_PREFIX}{secrets.token_hex(16)}"
            user = await meet_user(session, DEMO_CLIENT, fresh, "访客", self._settings, now)
        user.seen_at = now
        return user
