"""`rekey` killed with SIGKILL at each of its steps: the next start opens everything, and the next rekey works."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


def _environ(folder: Path, **environ: str) -> dict[str, str]:
    known = {"PATH": os.environ["PATH"], "HOME": str(folder), "SERVER__LOG_LEVEL": "warning"}
    return known | {"SERVER__DATA_DIR": str(folder / "data")} | environ


def _command(folder: Path, *arguments: str, **environ: str) -> None:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=_environ(folder, **environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# Once more with the settings alone, which the last goes through as well: make crashloop.
@pytest.mark.parametrize(
    "mode", ["file", pytest.param("settings", marks=pytest.mark.crash), "settings, again"]
)
def test_before_or_after_and_nothing_between(tmp_path: Path, mode: str) -> None:
    keys = [] if mode == "file" else ["ab" * 32]
    settings = {"AUTH__MASTER_KEY": keys[0]} if keys else {}
    _command(tmp_path, "init_db.py", "--no-samples", **settings)
    if mode == "settings, again":
        # The key in force is in a file, and may be in the settings or not yet.
        _command(tmp_path, "-m", "server", "rekey", **settings)
        keys.append((tmp_path / "data/secrets/master.key.new").read_text("ascii").strip())
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.rekey_killed", str(tmp_path), *keys],
        cwd=ROOT,
        env=_environ(tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *killed, whole = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["rekey"] for line in killed} == {-signal.SIGKILL}
    assert whole["rekey"] == 0
    assert len(killed) >= 6, "the steps are counted"
    for line in [*killed, whole]:
        assert (line["started"], line["again"]) == ([0] * max(1, len(keys)), [0, 0]), line
        assert "Traceback" not in line["said"]
