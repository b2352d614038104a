"""Settings as they are read: the only reader of the ini file and of the environment.

Precedence, highest first: command line, environment `SECTION__KEY` (`[llm.zhipu-api] api_key` is
`LLM__ZHIPU_API__API_KEY`), `--config FILE`, `configs/config.ini` as it is shipped, the defaults in `settings.py`.
"""

import configparser
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from string import Formatter
from typing import Any

from pydantic import BaseModel, ValidationError

from server.core import old_embeddings
from server.core.errors import SettingsError
from server.core.old_settings import Values, translate
from server.core.setting_kinds import ROOT, parse_path
from server.core.settings import (
    EmbeddingModelSettings,
    EmbeddingSettings,
    LLMModelSettings,
    LLMSettings,
    RerankModelSettings,
    Settings,
)

DEFAULT_FILE = ROOT / "configs" / "config.ini"
# Where chat2llm had its file; whoever brings one along need not name it.
OLD_FILE = ROOT / "config.ini"

# The name of a model, which is also a folder's name.
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}", re.A)
# Sections that hold any number of named sub-sections.
_NAMED: dict[str, type[BaseModel]] = {
    "embedding": EmbeddingModelSettings,
    "llm": LLMModelSettings,
    "rerank": RerankModelSettings,
}

_VARIABLE = "environment variable"


@dataclass(frozen=True, slots=True)
class _Source:
    """Where values come from, for whoever must correct one: the file, unless `origins` names another place."""

    path: Path
    origins: Mapping[tuple[str, str], str]

    def of(self, section: str, key: str) -> str:
        return f"{self.origins.get((section, key), self.path)}: [{section}] {key}"

    def of_missing(self, section: str, key: str, asked_by: tuple[str, str]) -> str:
        """For a key that is not given, and that another one, given, asks for: it belongs where that one stands."""
        if self.origins.get(asked_by, "").startswith(_VARIABLE):
            return f"{_VARIABLE} {section.upper()}__{key.upper()}: [{section}] {key}"
        return self.of(section, key)

    def of_section(self, section: str) -> str:
        return next(
            (origin for (named, _), origin in self.origins.items() if named == section), str(self.path)
        )


def load_settings(
    file: Path | None = None,
    *,
    overrides: Mapping[tuple[str, str], str] | None = None,
    environ: Mapping[str, str] | None = None,
    notes: list[str] | None = None,
) -> Settings:
    """Read file, environment and overrides (`(section, key) → text`) into Settings.

    `notes` gets a line for each old key of the file. Raises SettingsError that names section, key and remedy.
    """
    path = file or (OLD_FILE if OLD_FILE.is_file() else DEFAULT_FILE)
    shipped = {} if path.resolve() == DEFAULT_FILE else _read_file(DEFAULT_FILE)
    values, old_keys, old_names = translate(_read_file(path), shipped)
    if notes is not None:
        notes += [f"{path}: {note}" for note in old_keys]
    origins = {place: f"{path}, {name}" for place, name in old_names.items()}
    origins |= _apply_environment(values, os.environ if environ is None else environ)
    for (section, key), text in (overrides or {}).items():
        values.setdefault(section, {})[key] = text
        origins[section, key] = f"command line, --{key}"
    return _validate(values, _Source(path, origins))


def child_environment(overrides: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """The environment for a child process that is to see the same settings as this one."""
    return os.environ | {
        f"{section.upper()}__{key.upper()}": text for (section, key), text in overrides.items()
    }


def foreign_environment() -> dict[str, str]:
    """The environment for a program that is not ours: without our settings, which may be secrets."""
    tops = {name.upper() for name in Settings.model_fields}
    return {
        name: text for name, text in os.environ.items() if name.split("__")[0] not in tops or "__" not in name
    }


def _read_file(path: Path) -> Values:
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file; name an existing one with --config FILE") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not in UTF-8; save it as UTF-8") from error
    except configparser.Error as error:
        raise SettingsError(
            f"{path}: is not an ini file, lines are `key = value` below a [section]: {error}"
        ) from error
    return {section: dict(parser[section]) for section in parser.sections()}


def _apply_environment(values: Values, environ: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """Let `SECTION__KEY` win over the file, and tell which did. A name that starts like one of ours but fits nothing
    stops the start."""
    origins = {}
    for name, text in environ.items():
        head, _, key = name.rpartition("__")
        top = head.split("__")[0].lower()
        if not head or head != head.upper() or top not in Settings.model_fields:
            continue
        section = _section_of(head, top, values)
        values.setdefault(section, {})[key.lower()] = text
        origins[section, key.lower()] = f"{_VARIABLE} {name}"
    return origins


def _section_of(head: str, top: str, values: Values) -> str:
    """`LLM__ZHIPU_API` → the existing section `llm.zhipu-api`, or a new one spelt in lower case."""
    rest = head[len(top) :].removeprefix("__")
    if not rest:
        return top
    for section in values:
        if (
            section.startswith(f"{top}.")
            and re.sub(r"[^A-Z0-9]", "_", section.upper().split(".", 1)[1]) == rest
        ):
            return section
    return f"{top}.{rest.lower().replace('_', '-')}"


def _validate(values: Values, source: _Source) -> Settings:
    nested: dict[str, dict[str, Any]] = {}
    for section, keys in values.items():
        top, _, name = section.partition(".")
        if top not in Settings.model_fields or (
            "." in section and (top not in _NAMED or not _NAME.fullmatch(name))
        ):
            known = ", ".join(Settings.model_fields)
            raise SettingsError(
                f"{source.of_section(section)}: [{section}] is not a section; remove it or use one of: {known}"
            )
        if name:
            nested.setdefault(top, {}).setdefault("models", {})[name] = keys
        else:
            if "models" in keys and top in _NAMED:
                raise SettingsError(
                    f"{source.of(section, 'models')}: name each model in a section of its own, [{top}.NAME]"
                )
            nested.setdefault(top, {}).update(keys)
    _add_known_embeddings(nested)
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(error, source))) from None
    _check_relations(settings, source)
    return settings


def _add_known_embeddings(nested: dict[str, dict[str, Any]]) -> None:
    """A model that chat2llm knew by name needs no section when its folder is there, or it is the default."""
    embedding = nested.setdefault("embedding", {})
    models = embedding.setdefault("models", {})
    folder = parse_path(embedding.get("models_dir") or EmbeddingSettings().models_dir)
    assert isinstance(folder, Path)
    for name in old_embeddings.LOCAL.keys() - models.keys():
        path = old_embeddings.find_folder(folder, name)
        if path or name == embedding.get("default"):
            models[name] = {"kind": "local", "path": path or name}


def _explain(error: ValidationError, source: _Source) -> Iterator[str]:
    for item in error.errors(include_url=False, include_input=False):
        location = [str(part) for part in item["loc"]]
        if len(location) == 3 and location[1] == "models":  # what spans several keys of a section
            yield f"{source.of_section(f'{location[0]}.{location[2]}')}: [{location[0]}.{location[2]}] {item['msg'].removeprefix('Value error, ')}"
            continue
        section = (
            f"{location[0]}.{location[2]}" if len(location) > 3 and location[1] == "models" else location[0]
        )
        key = location[-1]
        if item["type"] == "extra_forbidden":
            known = _known_keys(section)
            meant = "".join(f"; did you mean {name}?" for name in get_close_matches(key, known, 1))
            yield f"{source.of(section, key)}: no such key{meant} Known keys: {', '.join(known)}"
        else:
            yield f"{source.of(section, key)}: {item['msg'].removeprefix('Value error, ')}"


def _known_keys(section: str) -> list[str]:
    top, _, name = section.partition(".")
    fields = _NAMED[top].model_fields if name else type(getattr(Settings(), top)).model_fields
    return [key for key in fields if key != "models"]


def _check_relations(settings: Settings, source: _Source) -> None:
    """Rules that span two keys."""
    kb, llm, embedding = settings.kb, settings.llm, settings.embedding
    if kb.chunk_overlap >= kb.chunk_size:
        where = source.of("kb", "chunk_overlap")
        size = f"{kb.chunk_size}, {source.origins.get(('kb', 'chunk_size'), source.path)}"
        raise SettingsError(f"{where}: must be smaller than chunk_size ({size})")
    if llm.default != "quote" and llm.default not in llm.models:
        raise SettingsError(
            f"{source.of('llm', 'default')}: no section [llm.{llm.default}]; add it, or use quote"
        )
    if llm.default in llm.models and not llm.models[llm.default].is_set_up:
        where = source.of(f"llm.{llm.default}", "model_path")
        raise SettingsError(
            f"{where}: is empty; [llm] default names this model: give its weights or another default"
        )
    if "quote" in llm.models:
        raise SettingsError(
            f"{source.of_section('llm.quote')}: [llm.quote]: this name belongs to the built-in answerer; choose another"
        )
    _check_engines(llm, source)
    if embedding.default not in embedding.models:
        name, where = embedding.default, source.of("embedding", "default")
        known = name in old_embeddings.LOCAL or name in old_embeddings.ONLINE
        lacking = (
            old_embeddings.remedy(embedding.models_dir, name)
            if known
            else f"no section [embedding.{name}]; add it"
        )
        raise SettingsError(f"{where} = {name}: {lacking}")
    rerank = settings.rerank
    if rerank.default and rerank.default not in rerank.models:
        raise SettingsError(
            f"{source.of('rerank', 'default')}: no section [rerank.{rerank.default}]; add it, or leave it empty"
        )
    _check_wecom(settings, source)


def _check_engines(llm: LLMSettings, source: _Source) -> None:
    blanks = ["port", "key", "model_path", "model", "context", "threads", "parallel"]
    for name, model in llm.engines.items():
        section = f"llm.{name}"
        if model.base_url:
            raise SettingsError(
                f"{source.of(section, 'base_url')}: an engine has an address of its own; leave it empty"
            )
        asked = _blanks(model.command)
        if asked is None or not asked <= set(blanks):
            known = " ".join(f"{{{blank}}}" for blank in blanks)
            where = source.of(section, "command")
            raise SettingsError(
                f"{where}: what can be filled in is {known}, as it stands here; other braces are doubled"
            )
        if model.engine == "command" and not model.port and "port" not in asked:
            raise SettingsError(
                f"{source.of(section, 'command')}: must tell the program its {{port}}, or give port"
            )


def _blanks(command: str) -> set[str] | None:
    """The names in its braces; None when they are no plain names: a format may ask for gigabytes."""
    try:
        fields = [field[1:] for field in Formatter().parse(command) if field[1] is not None]
    except ValueError:
        return None
    if any(spec or conversion for _, spec, conversion in fields):
        return None
    return {name for name, _, _ in fields if name is not None}


def _check_wecom(settings: Settings, source: _Source) -> None:
    """Half a set of what WeCom gives an app is a slip, not a choice."""
    wecom = settings.wecom
    given = {"corp_id": wecom.corp_id, "agent_id": wecom.agent_id, "secret": wecom.secret}
    missing = [key for key, value in given.items() if not value]
    if missing and len(missing) < len(given):
        there = next(key for key in given if key not in missing)
        where = source.of_missing("wecom", missing[0], ("wecom", there))
        raise SettingsError(f"{where}: is missing; single sign-on needs {', '.join(given)}")
    if wecom.is_on and not settings.server.public_url:
        where = source.of_missing("server", "public_url", ("wecom", "corp_id"))
        raise SettingsError(f"{where}: WeCom must know where to send people back; write https://HOST here")
    if wecom.client == "0":
        where = source.of("wecom", "client")
        raise SettingsError(f"{where}: 0 is the demo; take another client")
    for name in ("verify", "mini_program_verify"):
        if bool(getattr(wecom, f"{name}_file")) != bool(getattr(wecom, f"{name}_text")):
            raise SettingsError(
                f"{source.of('wecom', f'{name}_file')}: goes together with {name}_text; give both or neither"
            )
