"""Export pyproject.toml to the three pinned requirement files (`make lock`).

requirements-lite.txt  what `startup.py --lite` needs
requirements.txt       the same and the extras `full` and `ocr`: every package the project is built on
requirements-dev.txt   the lite set and the tools that tests and checks need
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXPORTS = {
    "requirements-lite.txt": [],
    "requirements.txt": ["--extra", "full", "--extra", "ocr"],
    "requirements-dev.txt": ["--group", "dev"],
}
HEADER = "# Exported from pyproject.toml by `make lock`. Install with: pip install --no-deps -r {name}\n"
# PyPI's torch wheel for Linux asks for CUDA packages; nothing here needs them, and --no-deps leaves them out.
CUDA = re.compile(r"^(nvidia-|cuda-|triton\b)")
# What pyproject.toml's overrides rule out stays in uv's answer, for a platform that is none.
RULED_OUT = "sys_platform == 'none'"


def export(name: str, options: list[str]) -> None:
    """Resolve one set and write it as `name`, one exact version a line."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--python-version", "3.11"]
    command += ["--universal", "--no-annotate", "--no-header", "--quiet", *options]
    result = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    lines = [
        line.replace("+cpu", "")
        for line in result.stdout.splitlines()
        if not CUDA.match(line) and RULED_OUT not in line
    ]
    (ROOT / name).write_text(HEADER.format(name=name) + "\n".join(lines) + "\n", encoding="utf-8")
    print(f"{name}: {len(lines)} packages")


if __name__ == "__main__":
    for file_name, extra_options in EXPORTS.items():
        export(file_name, extra_options)
