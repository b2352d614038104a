"""A config.ini as chat2llm had it: every key of the contract's §4.1 means what it meant."""

from datetime import timedelta
from pathlib import Path

import pytest

from server.core.configuration import load_settings
from server.core.errors import SettingsError
from server.core.settings import Settings

ORIGINAL = """
[model_setting]
ENABLE_LLM_MODEL=zhipu-api
ZHIPU-API.API_KEY=zhipu-key-1
OPENAI-API.API_KEY=openai-key-1
XINGHUO-API.API_APPID=app1
XINGHUO-API.API_KEY=spark-key-1
XINGHUO-API.API_SECRET=spark-secret-1
QWEN-API.API_KEY=qwen-key-1
QIANFAN.API_KEY=qianfan-key-1
QIANFAN.API_SECRET=qianfan-secret-1
MODEL_ROOT_PATH=/models
EMBEDDING_MODEL=bge-large-zh

[system_setting]
TOKEN_EXPIRED_HOURS=12
SERVER_ADDRESS=https://kb.example.com/
H5_ADDRESS=https://h5.example.com
ENT_WECHAT_AGENTID=1000002
ENT_WECHAT_CORPID=ww1234567890
ENT_WECHAT_APPSECRET=wecom-secret-1
"""


def _load(folder: Path, text: str, **environ: str) -> tuple[Settings, list[str]]:
    path, notes = folder / "config.ini", list[str]()
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ=environ, notes=notes), notes


def _key(settings: Settings, name: str) -> str | None:
    key = settings.llm.models[name].api_key
    return key.get_secret_value() if key else None


def test_an_original_file_works(tmp_path: Path) -> None:
    settings, notes = _load(tmp_path, ORIGINAL)
    assert settings.llm.default == "zhipu-api"
    names = ("zhipu-api", "openai-api", "qwen-api", "qianfan-api")
    assert [_key(settings, name) for name in names] == [
        "zhipu-key-1", "openai-key-1", "qwen-key-1", "qianfan-key-1",
    ]  # fmt: skip
    assert _key(settings, "xinghuo-api") == "spark-key-1:spark-secret-1"
    assert settings.embedding.models_dir == Path("/models")
    assert settings.embedding.default == "bge-large-zh"
    assert settings.embedding.models["bge-large-zh"].kind == "local"
    assert settings.embedding.models["bge-large-zh"].path == "bge-large-zh"
    assert settings.auth.token_max_age == timedelta(hours=12)
    assert settings.server.address == "https://kb.example.com"
    assert settings.h5.address == "https://h5.example.com"
    wecom = settings.wecom
    assert (wecom.agent_id, wecom.corp_id) == ("1000002", "ww1234567890")
    assert wecom.secret is not None
    assert wecom.secret.get_secret_value() == "wecom-secret-1"
    # The rest is the shipped configuration.
    assert settings.llm.models["zhipu-api"].preset == "zhipu"
    assert settings.embedding.models["e5-small"].kind == "bundled"
    keys = [line.split("=")[0] for line in ORIGINAL.splitlines() if "=" in line]
    assert len(notes) == len(keys) == 17
    for key, note in zip(keys, notes, strict=True):
        assert note.startswith(f"{tmp_path}/config.ini: {key} is an old key")
    assert "write [auth] token_max_age instead" in notes[11]
    said = "\n".join(notes)
    assert not [word for word in ("key-1", "secret-1", "app1") if word in said]


def test_the_new_key_wins_and_says_so(tmp_path: Path) -> None:
    settings, notes = _load(
        tmp_path, "[system_setting]\nTOKEN_EXPIRED_HOURS=12\n[auth]\ntoken_max_age = 3h\n"
    )
    assert settings.auth.token_max_age == timedelta(hours=3)
    assert len(notes) == 1
    assert "[auth] token_max_age counts; remove TOKEN_EXPIRED_HOURS" in notes[0]


def test_the_environment_wins_over_an_old_key(tmp_path: Path) -> None:
    settings, _ = _load(tmp_path, "[model_setting]\nENABLE_LLM_MODEL=zhipu-api\n", LLM__DEFAULT="quote")
    assert settings.llm.default == "quote"


def test_sections_have_no_meaning_and_empty_values_count_for_nothing(tmp_path: Path) -> None:
    text = "[server]\nport = 9000\nH5_ADDRESS = https://h.example.com\n[model_setting]\nZHIPU-API.API_KEY =\nLOG=1\n"
    settings, notes = _load(tmp_path, text)
    assert (settings.server.port, settings.h5.address) == (9000, "https://h.example.com")
    assert _key(settings, "zhipu-api") is None
    assert ["empty" in note for note in notes] == [False, True, False]
    assert "LOG is no setting here" in notes[2]


def test_a_wrong_old_value_is_told_with_its_old_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"config\.ini, TOKEN_EXPIRED_HOURS: \[auth\] token_max_age"):
        _load(tmp_path, "[system_setting]\nTOKEN_EXPIRED_HOURS=eight\n")


def test_a_new_file_has_no_notes(tmp_path: Path) -> None:
    assert _load(tmp_path, "[kb]\ntop_k = 5\n")[1] == []


def test_a_providers_embedding_model_is_told_as_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"EMBEDDING_MODEL.* a provider's .*\[embedding\.zhipu-api\]"):
        _load(tmp_path, "[model_setting]\nEMBEDDING_MODEL=zhipu-api\n")
    section = "[embedding.zhipu-api]\nkind = openai\nmodel = embedding-3\nbase_url = https://open.bigmodel.cn/api/paas/v4\n"
    settings, _ = _load(tmp_path, f"[model_setting]\nEMBEDDING_MODEL=zhipu-api\n{section}")
    assert settings.embedding.models["zhipu-api"].kind == "openai"


@pytest.mark.parametrize("folder", ["m3e-large", "moka-ai/m3e-large"])
def test_a_model_of_old_is_found_by_its_folder(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "config.json").write_text("{}")
    settings, _ = _load(tmp_path, f"[model_setting]\nMODEL_ROOT_PATH={tmp_path}\n")
    assert (settings.embedding.models["m3e-large"].kind, settings.embedding.models["m3e-large"].path) == (
        "local", folder,
    )  # fmt: skip
    assert "bge-large-zh" not in settings.embedding.models


@pytest.mark.parametrize("name", ["openai-api", "zhipu-api", "minimax-api", "xinghuo-api", "qianfan-api",
                                  "fangzhou-api", "qwen-api", "baichuan-api"])  # fmt: skip
def test_every_old_name_of_a_model_is_in_the_shipped_configuration(name: str) -> None:
    assert load_settings(environ={"LLM__DEFAULT": name}).llm.default == name
