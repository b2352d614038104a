"""Runs whose answers a language model gives: what they cost is said before, and counted."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.auth.secret_files import make_secret_file
from server.core.settings import Settings
from server.evaluation.runner import Runner
from tests.chat.conftest import model_settings
from tests.conftest import test_settings
from tests.evaluation.conftest import AT, look, make_set, results
from tests.support.api import Caller
from tests.support.provider import Provider, provider_server

pytestmark = pytest.mark.one_database


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


@pytest.fixture
def settings(database_url: str, tmp_path: Path, provider: Provider) -> Settings:
    make_secret_file(tmp_path / "data" / "secrets" / "master.key", secrets.token_hex(32))
    return test_settings(tmp_path / "data", database_url, **model_settings(provider, ("echo", "down")))


async def test_what_it_will_cost_is_said_before_it_is_spent(
    editor: Caller, runner: Runner, provider: Provider, bare: str
) -> None:
    set_id = await make_set(editor, bare, [{"question": f"问题{n}", "gold_answer": "x"} for n in range(9)])
    provider.calls.clear()
    asked = await editor.post(f"{AT}/runs", {"set_id": set_id, "model_name": "echo"})
    assert (asked.status_code, asked.json()["error"]["code"]) == (409, "cost_not_accepted")
    assert asked.json()["data"]["calls"] == 9
    assert asked.json()["data"]["prompt_tokens"] > 9 * 300
    assert (await editor.get(f"{AT}/runs", set_id=set_id)).json()["data"]["total"] == 0
    assert not provider.calls
    begun = await editor.post(f"{AT}/runs", {"set_id": set_id, "model_name": "echo", "accept_cost": True})
    await runner.run_until_idle()
    run = await look(editor, begun.json()["data"]["run_id"])
    assert (run["state"], run["summary"]["answered"], run["summary"]["failed"]) == ("done", 9, 0)
    assert len(provider.calls) == 9
    assert run["summary"]["tokens"]["prompt_tokens"] > 0
    assert all(row["answer"] for row in await results(editor, run["run_id"]))


async def test_a_model_that_does_not_answer_ends_the_run(editor: Caller, runner: Runner, bare: str) -> None:
    set_id = await make_set(editor, bare, [{"question": f"问题{n}", "gold_answer": "x"} for n in range(20)])
    begun = await editor.post(f"{AT}/runs", {"set_id": set_id, "model_name": "down", "accept_cost": True})
    await runner.run_until_idle()
    run = await look(editor, begun.json()["data"]["run_id"])
    assert (run["state"], run["done"]) == ("failed", 8)
    assert run["error_code"].startswith("upstream")
    assert "连续 8 个回答失败" in run["reason"]
    assert {row["outcome"] for row in await results(editor, run["run_id"])} == {"failed"}
