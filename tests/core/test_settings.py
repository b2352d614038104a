"""config.ini and Settings are the same list; what is wrong is told with section, key and remedy."""

import configparser
from pathlib import Path

import pytest

from server.core.configuration import _NAMED, DEFAULT_FILE, load_settings
from server.core.errors import SettingsError
from server.core.setting_kinds import Section
from server.core.settings import Settings


def _file_keys() -> dict[str, set[str]]:
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    parser.read(DEFAULT_FILE, encoding="utf-8")
    keys: dict[str, set[str]] = {}
    for section in parser.sections():
        top, _, name = section.partition(".")
        keys.setdefault(f"{top}.NAME" if name else top, set()).update(parser[section])
    return keys


def _field_keys() -> dict[str, set[str]]:
    keys = {}
    for name, default in Settings():
        assert isinstance(default, Section)
        keys[name] = set(type(default).model_fields) - {"models"}
    return keys | {f"{top}.NAME": set(model.model_fields) for top, model in _NAMED.items()}


def test_the_file_lists_every_setting_and_nothing_else() -> None:
    assert _file_keys() == _field_keys()


def test_every_key_of_the_file_has_a_comment_above_its_group() -> None:
    lines = DEFAULT_FILE.read_text(encoding="utf-8").splitlines()
    sections = [index for index, line in enumerate(lines) if line.startswith("[") and "." not in line]
    for index in sections:
        assert lines[index + 1].startswith("#"), f"{lines[index]} starts without a comment"


def test_the_file_holds_the_defaults() -> None:
    from_file = load_settings(environ={})
    for section, default in Settings():
        read = getattr(from_file, section)
        for key in type(default).model_fields:
            if key not in ("models", "default"):
                assert getattr(read, key) == getattr(default, key), f"[{section}] {key}"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SERVER__PORT": "x"}, ["[server] port", "integer"]),
        ({"SERVER__PORT": "70000"}, ["[server] port", "65535"]),
        ({"SERVER__PROT": "1"}, ["[server] prot", "no such key; did you mean port?"]),
        ({"LLM__ZHIPU_API__API_KEY": "your-api-key"}, ["[llm.zhipu-api] api_key", "placeholder"]),
        ({"LLM__ZHIPU_API__API_KEY": "<key>"}, ["[llm.zhipu-api] api_key", "placeholder"]),
        ({"AUTH__MASTER_KEY": "changeme"}, ["[auth] master_key", "placeholder"]),
        (
            {"KB__CHUNK_SIZE": "30"},
            ["[kb] chunk_overlap", "smaller than chunk_size", "variable KB__CHUNK_SIZE"],
        ),
        ({"AUTH__TOKEN_MAX_AGE": "8"}, ["[auth] token_max_age", "unit"]),
        ({"AUTH__TOKEN_MAX_AGE": "0h"}, ["[auth] token_max_age"]),
        ({"AUTH__TOKEN_MAX_AGE": "9999999999999d"}, ["[auth] token_max_age", "36500d"]),
        ({"AUTH__TOKEN_MAX_AGE": f"{'9' * 400}h"}, ["[auth] token_max_age", "36500d"]),
        ({"COMPAT__WAIT_FOR_UPLOADS": "1h"}, ["[compat] wait_for_uploads"]),
        ({"SERVER__MAX_JSON_SIZE": "0"}, ["[server] max_json_size", "1KiB"]),
        ({"KB__MAX_FILE_SIZE": "0"}, ["[kb] max_file_size", "1KiB"]),
        (
            {"EMBEDDING__DEFAULT": "qwen-api"},
            ["[embedding] default = qwen-api", "a provider's", "kind = openai"],
        ),
        *[
            ({"LLM__X__ENGINE": "command", "LLM__X__COMMAND": command}, ["[llm.x] command", words])
            for command, words in (
                ("x {port:99999999999}", "filled in"),
                ("x {port!r}", "filled in"),
                ("x {port.real}", "filled in"),
                ("x {0} {port}", "filled in"),
                ("x {port", "filled in"),
                ("x {{port}}", "must tell the program its {port}"),
            )
        ],
        ({"LLM__DEFAULT": "nothing"}, ["[llm] default", "[llm.nothing]"]),
        ({"EMBEDDING__DEFAULT": "nothing"}, ["[embedding] default", "[embedding.nothing]"]),
        ({"SERVER__PUBLIC_URL": "kb.example.com"}, ["[server] public_url", "write https://HOST"]),
        ({"SERVER__PUBLIC_URL": "https://kb.example.com/"}, ["[server] public_url", "slash"]),
        ({"H5__ADDRESS": "kb"}, ["[h5] address", "write https://HOST/PATH"]),
        ({"AUTH__FOO__BAR": "1"}, ["variable AUTH__FOO__BAR: [auth.foo]"]),
        ({"LLM__QUOTE__KIND": "openai"}, ["variable LLM__QUOTE__KIND: [llm.quote]"]),
        ({"WECOM__CORP_ID": "ww1"}, ["variable WECOM__AGENT_ID: [wecom] agent_id", "is missing", "secret"]),
        ({"WECOM__SECRET": "abc"}, ["[wecom] corp_id", "is missing"]),
        ({"WECOM__CORP_ID": "ww 1"}, ["[wecom] corp_id"]),
        (
            {"WECOM__CORP_ID": "ww1", "WECOM__AGENT_ID": "1", "WECOM__SECRET": "abc"},
            ["variable SERVER__PUBLIC_URL: [server] public_url", "WeCom", "https://HOST"],
        ),
        ({"WECOM__SECRET": "xxxx"}, ["[wecom] secret", "placeholder"]),
        ({"WECOM__CLIENT": "0"}, ["[wecom] client", "demo"]),
        ({"WECOM__API_URL": "http://proxy.example.com"}, ["[wecom] api_url", "https://"]),
        ({"WECOM__AUTHORIZE_URL": "https://open.weixin.qq.com/"}, ["[wecom] authorize_url", "slash"]),
        ({"WECOM__PAGE_HOSTS": "https://oa.example.com"}, ["[wecom] page_hosts", "HOST:PORT"]),
        ({"AGENT__MAX_CALLS": "0"}, ["[agent] max_calls"]),
        ({"AGENT__WEATHER_URL": "api.open-meteo.com"}, ["[agent] weather_url", "https://"]),
        ({"SEARCH__BING_URL": "http://bing.example.com/search"}, ["[search] bing_url", "https://"]),
        ({"SEARCH__SEARXNG_URL": "searx.example.com"}, ["[search] searxng_url", "https://"]),
        ({"SEARCH__METAPHOR_KEY": "xxxx"}, ["[search] metaphor_key", "placeholder"]),
        ({"RERANK__DEFAULT": "nothing"}, ["[rerank] default", "[rerank.nothing]"]),
        ({"RERANK__X__KIND": "api"}, ["[rerank.x] write https://"]),
        ({"RERANK__X__KIND": "cross-encoder"}, ["[rerank.x]", "path"]),
        (
            {"RERANK__JINA__URL": "http://rerank.example.com", "RERANK__JINA__API_KEY": "k-1"},
            ["[rerank.jina]", "https://"],
        ),
        ({"WECOM__VERIFY_FILE": "WW_verify_a.txt"}, ["[wecom] verify_file", "verify_text"]),
        ({"WECOM__VERIFY_FILE": "../a.txt", "WECOM__VERIFY_TEXT": "a"}, ["[wecom] verify_file"]),
    ],
)
def test_a_wrong_value_stops_the_start(environ: dict[str, str], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(environ=environ)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[sever]\nport = 1\n", ["[sever]", "not a section", "server"]),
        ("[llm.quote]\nmodel = x\n", ["[llm.quote]", "built-in"]),
        ("[llm.../x]\nmodel = x\n", ["[llm.../x]"]),
        ("[kb]\nmodels = 1\n", ["[kb] models", "no such key"]),
        ("[llm]\nmodels = 1\n", ["[llm] models", "[llm.NAME]"]),
        ("port = 1\n", ["ini file"]),
        ("[server]\nport = 1\nport = 2\n", ["ini file"]),
    ],
)
def test_a_wrong_file_stops_the_start(tmp_path: Path, text: str, words: list[str]) -> None:
    path = tmp_path / "c.ini"
    path.write_text(text + "[embedding.e5-small]\nkind = bundled\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ={})
    assert all(word in str(caught.value) for word in [str(path), *words]), str(caught.value)


def test_what_is_wrong_is_told_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "c.ini"
    path.write_text("[kb]\ntop_k = x\n[embedding.e5-small]\nkind = bundled\n", encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ={"KB__CHUNK_SIZE": "x"}, overrides={("server", "port"): "x"})
    places = {line.partition(": [")[2].partition(":")[0]: line for line in str(caught.value).splitlines()}
    assert places["kb] top_k"].startswith(f"{path}:")
    assert places["kb] chunk_size"].startswith("environment variable KB__CHUNK_SIZE:")
    assert places["server] port"].startswith("command line, --port:")


def test_a_file_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    path, shipped = tmp_path / "c.ini", load_settings(environ={})
    for text in ("[kb]\nchunk_size = 300\n", ""):
        path.write_text(text, "utf-8")
        settings = load_settings(path, environ={"LLM__QWEN_API__API_KEY": "k" * 20})
        assert settings.kb.chunk_size == (300 if text else 250)
        assert settings.embedding == shipped.embedding
        assert settings.llm.models.keys() == shipped.llm.models.keys()
        assert settings.llm.models["qwen-api"].preset == "qwen"
    path.write_text(
        "[llm.zhipu-api]\nmodel = glm-4-plus\n[llm.mine]\nbase_url = https://llm.example.com\n", "utf-8"
    )
    models = load_settings(path, environ={}).llm.models
    assert (models["zhipu-api"].model, models["zhipu-api"].context_tokens) == ("glm-4-plus", 32000)
    assert (models["mine"].base_url, models["mine"].context_tokens) == ("https://llm.example.com", 8192)


@pytest.mark.parametrize(
    "text",
    [
        "[llm.local]\nbase_url = http://127.0.0.1:8000/v1\nmodel = m\n",
        "[llm.zhipu-api]\nkind = zhipuai\nmodel = m\n",
        "[embedding.openai]\nkind = local\npath = m\n",
    ],
)
def test_a_model_of_another_kind_stands_for_itself(tmp_path: Path, text: str) -> None:
    """Otherwise it would inherit what belongs to the shipped one of its name: an engine, a preset, an address."""
    path = tmp_path / "c.ini"
    path.write_text(text, "utf-8")
    settings = load_settings(path, environ={})
    name = text[1:].partition("]")[0].partition(".")[2]
    model = (settings.embedding if "embedding" in text else settings.llm).models[name]
    said = {line.partition(" =")[0] for line in text.splitlines()[1:]}
    assert model.model_fields_set == said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--config"):
        load_settings(tmp_path / "none.ini")


def test_precedence(tmp_path: Path) -> None:
    path = tmp_path / "c.ini"
    path.write_text(
        "[server]\nport = 1111\nhost = a\nlog_level = error\n[embedding.e5-small]\nkind = bundled\n", "utf-8"
    )
    environ = {"SERVER__PORT": "2222", "SERVER__HOST": "b"}
    settings = load_settings(path, environ=environ, overrides={("server", "port"): "3333"})
    assert (settings.server.port, settings.server.host, settings.server.log_level) == (3333, "b", "error")
    assert settings.server.workers == 1


def test_the_environment_reaches_named_sections() -> None:
    settings = load_settings(environ={"LLM__ZHIPU_API__API_KEY": "k" * 20, "LLM__MY_MODEL__MODEL": "m"})
    key = settings.llm.models["zhipu-api"].api_key
    assert key is not None
    assert key.get_secret_value() == "k" * 20
    assert settings.llm.models["my-model"].model == "m"


def test_a_prefix_keeps_its_space_in_quotes(tmp_path: Path) -> None:
    path = tmp_path / "c.ini"
    path.write_text(
        '[embedding.e5-small]\nkind = bundled\nquery_prefix = "query: "\npassage_prefix = "\n', "utf-8"
    )
    model = load_settings(path, environ={}).embedding.models["e5-small"]
    assert (model.query_prefix, model.passage_prefix) == ("query: ", '"')


def test_foreign_variables_are_left_alone() -> None:
    load_settings(environ={"PATH": "/bin", "FOO__BAR": "1", "server__port": "x", "SERVER_PORT": "x"})


def test_secrets_do_not_show() -> None:
    settings = load_settings(
        environ={"LLM__ZHIPU_API__API_KEY": "sk-canary-canary", "AUTH__MASTER_KEY": "ab" * 32}
    )
    assert "canary" not in repr(settings)
    assert "abab" not in repr(settings)


def test_nothing_changes_afterwards() -> None:
    settings = load_settings(environ={})
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1  # type: ignore[misc]
