"""What crashes leave behind goes when a worker starts; what is in use stays."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from server.kb.sweep import sweep
from server.services import Services
from tests.support.api import Caller


async def _sweep(services: Services) -> None:
    await sweep(services.database, services.files, services.runtime.lanes)


def _write(path: Path, age: int = 2 * 3600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    _grow_old(path, age)
    return path


def _grow_old(path: Path, age: int) -> None:
    then = time.time() - age
    os.utime(path, (then, then))


async def test_what_no_row_knows_goes_and_the_rest_stays(services: Services, editor: Caller) -> None:
    await editor.create_kb()
    await editor.ingest("kb", {"a.txt": "年假五天。".encode()})
    await editor.upload("kb", {"b.txt": "只存".encode()}, to_vector_store=False)
    data_dir = services.settings.server.data_dir
    (kb,) = data_dir.glob("kb_*")
    kept = [path for path in kb.rglob("*") if path.is_file()]
    for path in kept:
        _grow_old(path, 2 * 3600)
    young = [_write(kb / "content" / "doc_young.txt", 60), _write(kb / "content" / "doc_young.txt.tmp", 60)]
    ours = _write(data_dir / "secrets" / "kept")
    gone = [
        _write(kb / "content" / "doc_gone.pdf"),
        _write(kb / "content" / "doc_gone.pdf.tmp"),
        _write(kb / "vector_store" / "e5-small" / "doc_gone.1.npy"),
        _write(kb / "vector_store" / "e5-small" / "doc_gone.1.tmp"),
        _write(data_dir / "kb_gone" / "content" / "doc_x.txt"),
    ]
    _grow_old(data_dir / "kb_gone", 2 * 3600)
    await _sweep(services)
    assert [path.exists() for path in (*kept, *young, ours)] == [True] * (len(kept) + 3)
    assert [path.exists() for path in gone] == [False] * len(gone)
    assert not (data_dir / "kb_gone").exists()
    aside = sorted(path.name.rpartition(".")[0] for path in (data_dir / "orphans").iterdir())
    assert [name.split(".")[0] for name in aside] == sorted([kb.name, "kb_gone"]), "content is set aside"
    assert len(await editor.search("kb", "年假")) == 1


async def test_what_was_set_aside_goes_after_a_week(services: Services) -> None:
    orphans = services.settings.server.data_dir / "orphans"
    old = _write(orphans / "kb_a.1.doc_x.txt", 8 * 86400)
    _write(orphans / "kb_b.2.kb_b" / "content" / "doc_y.txt")
    _grow_old(orphans / "kb_b.2.kb_b", 8 * 86400)
    young = _write(orphans / "kb_c.3.doc_z.txt", 6 * 86400)
    await _sweep(services)
    assert list(orphans.iterdir()) == [young]
    assert not old.exists()


async def test_folders_of_dead_parsers_go(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    folders = [tmp_path / f"chat2llm-parse-{owner}-abc_1" for owner in (dead.pid, os.getpid())] + [
        tmp_path / "other"
    ]
    for folder in folders:
        _write(folder / "file")
    await _sweep(services)
    assert [folder.exists() for folder in folders] == [False, True, True]
