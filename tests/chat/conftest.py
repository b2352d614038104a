"""Chats with the stand-ins behind them: a model's provider, and the web's search engines."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.auth.secret_files import make_secret_file
from server.core.settings import Settings
from tests.conftest import test_settings
from tests.support.provider import KEY, Provider, provider_server
from tests.support.search_engines import Engines, search_engines

# Behaviours of the provider's stand-in, each a model of the same name.
MODELS = ("echo", "agent", "endless", "cut", "down", "stall", "wrong-key", "empty", "no-tools")


@pytest.fixture(scope="module")
def _provider() -> Iterator[Provider]:
    with provider_server() as running:
        yield running


@pytest.fixture
def provider(_provider: Provider) -> Provider:
    _provider.calls.clear()
    return _provider


@pytest.fixture(scope="module")
def _web() -> Iterator[Engines]:
    with search_engines() as running:
        yield running


@pytest.fixture
def web(_web: Engines) -> Engines:
    _web.asked.clear()
    _web.paths.clear()
    return _web


@pytest.fixture
def environ() -> dict[str, str]:
    """Settings of one test; a test gives its own by parametrising this."""
    return {}


@pytest.fixture
def models() -> tuple[str, ...]:
    return MODELS


def model_settings(provider: Provider, names: tuple[str, ...]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name in names:
        section = f"LLM__{name.upper().replace('-', '_')}"
        given |= {f"{section}__BASE_URL": provider.openai, f"{section}__MODEL": name}
        given |= {f"{section}__API_KEY": KEY, f"{section}__RETRIES": "0"}
    return given


@pytest.fixture
def settings(
    database_url: str,
    tmp_path: Path,
    provider: Provider,
    web: Engines,
    models: tuple[str, ...],
    environ: dict[str, str],
) -> Settings:
    make_secret_file(tmp_path / "data" / "secrets" / "master.key", secrets.token_hex(32))
    given = {"LLM__DEFAULT": "echo", **model_settings(provider, models), **web.environ()}
    return test_settings(tmp_path / "data", database_url, **(given | environ))
