"""The tree of refusals in `server.core.errors` is what integrators read: it must name every code there is."""

import re

from server.core import errors
from server.core.errors import AppError, DocumentNotFound, KBNotFound, ModelNotFound, PromptNotFound
from server.core.setting_kinds import ROOT


def _classes(cls: type[AppError]) -> list[type[AppError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in _classes(child))]


def test_the_tree_names_every_code_and_status() -> None:
    tree = errors.__doc__ or ""
    own = [cls for cls in _classes(AppError)[1:] if cls.__module__ == errors.__name__]
    assert len(own) > 20
    for cls in own:
        assert re.search(rf"─ {cls.__name__}\b.* {cls.status}  {cls.code}\b", tree), cls.__name__
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "server").rglob("*.py"))
    for code in set(re.findall(r'\bcode="([a-z_]+)"', sources)):
        assert re.search(rf"[ ,]{code}\b", tree), code


def test_a_name_is_not_repeated_at_full_length() -> None:
    name = "名" * 101
    for error in (
        KBNotFound(name),
        DocumentNotFound(name),
        ModelNotFound(name, []),
        PromptNotFound(name, []),
    ):
        for text in (error.text.zh, error.text.en):
            assert name[:100] in text
            assert name not in text
    assert "名" * 100 in KBNotFound("名" * 100).text.zh


def test_a_name_that_is_empty_is_seen() -> None:
    assert PromptNotFound("", ["default"]).text.zh == '未找到提示词模板 ""；可用的模板：default'
