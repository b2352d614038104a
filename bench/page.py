"""What the first visit of the page under /h5/ loads, and how soon it is usable on a slow phone."""

import json
import os
import re
import shutil
import subprocess
import sys

from bench.report import Figure, show
from server.core.setting_kinds import ROOT

_KILOBYTES, _USABLE = 150, 1500


async def run() -> None:
    if not (shutil.which("npm") and shutil.which("chromium") and (ROOT / "web" / "dist").is_dir()):
        print("\npage: needs npm, chromium and a built page (make page); left out")
        return
    told = json.loads(_find(r"TIMING (.+)", _npm("timing")))
    size = int(_find(r"(\d+)  of", _npm("size"))) / 1000
    kilobytes, usable = told["kilobytes"], told["usable"]
    show(
        "Page: a first visit on a phone, with the processor slowed down four times",
        [
            Figure(
                "JavaScript and CSS, gzip", f"{size:.0f} kB", f"≤ {_KILOBYTES} kB", met=size <= _KILOBYTES
            ),
            Figure("all that it loads, on the wire", f"{kilobytes} kB"),
            Figure("something is seen", f"{told['seen']} ms"),
            Figure("usable (median of 5)", f"{usable} ms", f"≤ {_USABLE} ms", met=usable <= _USABLE),
        ],
    )


def _npm(script: str) -> str:
    """What one of web/package.json's scripts says; it may end with an error where a goal is missed."""
    command = ["npm", "run", "--silent", script]
    environ = os.environ | {"PYTHON": sys.executable}
    done = subprocess.run(command, cwd=ROOT / "web", env=environ, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def _find(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    if found is None:
        raise RuntimeError(said)
    return found[1]
