"""A command waits for what it needs itself, and for nothing else."""

import subprocess
import sys

from server.cli import _MODULES
from server.core.setting_kinds import ROOT


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_help_and_a_wrong_command_name_all() -> None:
    told = _run("-m", "server", "--help")
    assert told.returncode == 0
    assert all(f" {name} " in told.stdout for name in _MODULES)
    wrong = _run("-m", "server", "tokens")
    assert (wrong.returncode, "'audit'" in wrong.stderr) == (2, True)


def test_one_is_loaded_alone() -> None:
    code = "import sys; from server.cli import parser_for; parser_for(['-f', 'kb', 'token', 'make'])"
    code += "; print(*sorted(sys.modules))"
    loaded = set(_run("-c", code).stdout.split())
    assert "server.cli.tokens" in loaded
    assert not loaded & {"server.cli.knowledge_bases", "server.services", "server.kb.service", "alembic"}
