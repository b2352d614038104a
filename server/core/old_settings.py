"""chat2llm's old config.ini: its keys are taken for the new ones, with a note that names them.

What a file does not say, old or new, comes from the configuration that is shipped.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from server.core.old_embeddings import LOCAL, ONLINE

Values = dict[str, dict[str, str]]  # section → key → text

# The sections of an old file. Their names had no meaning, so that a key counts in any section.
_SECTIONS = ("model_setting", "system_setting")


@dataclass(frozen=True, slots=True)
class _New:
    section: str
    key: str
    convert: Callable[[str], str] = str
    # What else must be known about the change.
    remark: str = ""


def _hours(text: str) -> str:
    return f"{text}h"


def _address(text: str) -> str:
    return text.rstrip("/")


_QIANFAN = "; Qianfan's new interface wants a new key (bce-v3/…), the old ones are refused by Baidu"
_ALIASES = {
    "ENABLE_LLM_MODEL": _New("llm", "default"),
    "ZHIPU-API.API_KEY": _New("llm.zhipu-api", "api_key"),
    "OPENAI-API.API_KEY": _New("llm.openai-api", "api_key"),
    "QWEN-API.API_KEY": _New("llm.qwen-api", "api_key"),
    "XINGHUO-API.API_KEY": _New("llm.xinghuo-api", "api_key", remark="; written as KEY:SECRET there"),
    "QIANFAN.API_KEY": _New("llm.qianfan-api", "api_key", remark=_QIANFAN),
    "MODEL_ROOT_PATH": _New("embedding", "models_dir"),
    "EMBEDDING_MODEL": _New("embedding", "default"),
    "TOKEN_EXPIRED_HOURS": _New("auth", "token_max_age", _hours),
    "SERVER_ADDRESS": _New("server", "public_url", _address),
    "H5_ADDRESS": _New("h5", "address", remark="; a page made for chat2llm wants [h5] handover = token too"),
    "ENT_WECHAT_AGENTID": _New("wecom", "agent_id"),
    "ENT_WECHAT_CORPID": _New("wecom", "corp_id"),
    "ENT_WECHAT_APPSECRET": _New("wecom", "secret"),
}
_WITHOUT_USE = {
    "XINGHUO-API.API_APPID": "Spark's new interface asks for key and secret only",
    "XINGHUO-API.API_SECRET": "it is the second half of [llm.xinghuo-api] api_key",
    "QIANFAN.API_SECRET": "Qianfan's new interface has one key",
}


def has_old_keys(values: Values) -> bool:
    names = _ALIASES.keys() | _WITHOUT_USE.keys()
    return any(section in _SECTIONS or names & keys.keys() for section, keys in values.items())


def translate(values: Values, shipped: Values) -> tuple[Values, list[str], Mapping[tuple[str, str], str]]:
    """The values of a file under today's names, laid over the `shipped` ones; notes for the operator; and which old name each
    value had."""
    given = {section: dict(keys) for section, keys in values.items()}
    if not has_old_keys(values):
        return lay_over(shipped, given), [], {}
    old = _take_old(given)
    notes, origins = [], {}
    merged = lay_over(shipped, given)
    for name, text in old.items():
        note = _translate_one(name, text, old, given, merged)
        if (alias := _ALIASES.get(name)) and text and alias.key not in given.get(alias.section, {}):
            origins[alias.section, alias.key] = name
        notes.append(note)
    _add_embedding(merged)
    return merged, notes, origins


def lay_over(shipped: Values, given: Values) -> Values:
    """`given` where it says something, `shipped` elsewhere. A model that is another kind of thing than the shipped one of its
    name stands for itself."""
    merged = {section: dict(keys) for section, keys in shipped.items()}
    for section, keys in given.items():
        if section in merged and _is_another_kind(merged[section], keys):
            merged[section] = {}
        merged.setdefault(section, {}).update(keys)
    return merged


def _is_another_kind(shipped: Mapping[str, str], given: Mapping[str, str]) -> bool:
    if any(key in given and given[key] != shipped.get(key, given[key]) for key in ("kind", "engine")):
        return True
    # A remote model under the name of a local engine.
    return (
        bool(shipped.get("engine"))
        and "engine" not in given
        and bool(given.get("base_url") or given.get("preset"))
    )


def _take_old(given: Values) -> dict[str, str]:
    """Take the old keys out of `given`: name → text, the last of a name counts."""
    old: dict[str, str] = {}
    for section in list(given):
        keys = given[section]
        for name in list(keys):
            if name in _ALIASES or name in _WITHOUT_USE or section in _SECTIONS:
                old[name] = keys.pop(name).strip()
        if section in _SECTIONS:
            del given[section]
    return old


def _translate_one(name: str, text: str, old: Mapping[str, str], given: Values, merged: Values) -> str:
    """Put one value under its new name, unless that one is given too. Returns the note about it."""
    if name in _WITHOUT_USE:
        return f"{name} is an old key without a use of its own here: {_WITHOUT_USE[name]}"
    alias = _ALIASES.get(name)
    if alias is None:
        return f"{name} is no setting here and counts for nothing; remove it"
    new = f"[{alias.section}] {alias.key}"
    if alias.key in given.get(alias.section, {}):
        return f"{name} is an old key and {new} is given too: {new} counts; remove {name}"
    if not text:
        return f"{name} is an old key for {new}; it is empty and counts for nothing"
    if name == "XINGHUO-API.API_KEY" and old.get("XINGHUO-API.API_SECRET"):
        text = f"{text}:{old['XINGHUO-API.API_SECRET']}"
    merged.setdefault(alias.section, {})[alias.key] = alias.convert(text)
    return f"{name} is an old key; write {new} instead{alias.remark}"


def _add_embedding(merged: Values) -> None:
    """An old EMBEDDING_MODEL names a folder below MODEL_ROOT_PATH, and had no section. A provider's needs one."""
    name = merged.get("embedding", {}).get("default", "")
    if name and "/" not in name and name not in LOCAL and name not in ONLINE:
        merged.setdefault(f"embedding.{name}", {"kind": "local", "path": name})
