"""Secrets at rest."""

import os
import secrets
import stat
from pathlib import Path

import pytest

from server.auth.secret_files import make_secret_file, read_secret_file
from server.auth.vault import Vault, hash_session
from server.core.errors import SettingsError


def test_what_is_sealed_opens_again_and_does_not_show() -> None:
    vault = Vault(secrets.token_bytes(32))
    sealed = vault.seal(b"PRIVATE KEY", context="c1|k1")
    assert b"PRIVATE" not in sealed
    assert vault.open(sealed, context="c1|k1") == b"PRIVATE KEY"
    assert vault.seal(b"PRIVATE KEY", context="c1|k1") != sealed


@pytest.mark.parametrize("change", ["key", "context", "bit", "cut"])
def test_anything_else_is_refused_with_the_remedy(change: str) -> None:
    key = secrets.token_bytes(32)
    sealed = bytearray(Vault(key).seal(b"secret", context="c1|k1"))
    if change == "bit":
        sealed[-1] ^= 1
    if change == "cut":
        sealed = sealed[:-1]
    vault = Vault(secrets.token_bytes(32) if change == "key" else key)
    with pytest.raises(SettingsError, match=r"master\.key"):
        vault.open(bytes(sealed), context="c2|k1" if change == "context" else "c1|k1")


def test_api_keys_are_hashed_with_the_master_key() -> None:
    key = secrets.token_bytes(32)
    assert (
        Vault(key).hash_api_key("sk-1") == Vault(key).hash_api_key("sk-1") != Vault(key).hash_api_key("sk-2")
    )
    assert Vault(key).hash_api_key("sk-1") != Vault(secrets.token_bytes(32)).hash_api_key("sk-1")
    assert Vault(key).hash_api_key("sk-1") != hash_session("sk-1")


def test_a_secret_file(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "master.key"
    assert make_secret_file(path, "ab" * 32)
    assert not make_secret_file(path, "cd" * 32), "an existing key is never replaced"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_secret_file(path, "") == "ab" * 32
    assert list(path.parent.iterdir()) == [path]


def test_a_secret_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash before the text is on disk leaves no file that a start would take for a key."""
    path = tmp_path / "secrets" / "master.key"
    synced: list[bool] = []

    def fsync(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        assert synced[0] is False
        assert path.exists() == synced[-1], "the text first, then the name, then the folder"

    monkeypatch.setattr(os, "fsync", fsync)
    assert make_secret_file(path, "ab" * 32)
    assert synced == [False, True]


def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    path = tmp_path / "secrets" / "master.key"
    assert make_secret_file(path, "ab" * 32)
    assert not make_secret_file(path, "cd" * 32)
    assert read_secret_file(path, "") == "ab" * 32
    assert list(path.parent.iterdir()) == [path]
