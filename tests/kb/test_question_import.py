"""A large spreadsheet is imported beside everything else: SQLite has one writer, who must not keep the pen for seconds."""

import asyncio
import secrets
from pathlib import Path

import pytest

from server.auth.secret_files import make_secret_file
from server.core.settings import Settings
from tests.conftest import test_settings
from tests.support.api import Caller


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    make_secret_file(tmp_path / "data" / "secrets" / "master.key", secrets.token_hex(32))
    return test_settings(tmp_path / "data", database_url, DATABASE__LOCK_TIMEOUT="1s")


@pytest.mark.parametrize("kb_name", ["没有的库", ""])
async def test_others_write_while_a_spreadsheet_is_imported(
    editor: Caller, reader: Caller, kb_name: str
) -> None:
    """As many knowledge bases that are not there as rows, and as many good rows."""
    rows = [f"问题{n},{kb_name and f'{kb_name}{n}'}" for n in range(9_999)]
    files = [("file", ("q.csv", "\n".join(["query,kb_name", *rows]).encode()))]
    importing = asyncio.ensure_future(editor.http.post("/recommend/question/import", files=files))
    saved = 0
    while not importing.done():
        body = {"session_id": secrets.token_hex(16), "session_name": "x", "mode": "LLM", "param": {}}
        answer = await reader.post("/session/save", body)
        assert answer.status_code == 200, answer.text
        saved += 1
        await asyncio.sleep(0.05)
    assert saved
    answer = await importing
    if kb_name:
        assert answer.status_code == 404
        assert len(answer.json()["data"]["failed_rows"]) == 9_999
    else:
        assert answer.json()["data"]["created"] == 9_999
