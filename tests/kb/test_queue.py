"""A queue that is full refuses before anything is written."""

from pathlib import Path

import pytest

from server.auth.secret_files import make_secret_file
from server.core.settings import Settings
from tests.conftest import test_settings
from tests.support.api import Caller

pytestmark = pytest.mark.one_database


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    make_secret_file(tmp_path / "data" / "secrets" / "master.key", "ab" * 32)
    return test_settings(tmp_path / "data", database_url, INGEST__MAX_QUEUE="2")


async def test_a_full_queue_refuses_and_takes_again(editor: Caller, settings: Settings) -> None:
    await editor.create_kb()
    assert (await editor.upload("kb", {"a.txt": b"one", "b.txt": b"two"})).status_code == 200
    refused = await editor.upload("kb", {"c.txt": b"three"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
    assert refused.headers["retry-after"]
    assert len(list(settings.server.data_dir.glob("kb_*/content/*"))) == 2
    assert editor.worker is not None
    await editor.worker.run_until_idle()
    assert (await editor.ingest("kb", {"c.txt": b"three"}))["c.txt"]["state"] == "ready"
