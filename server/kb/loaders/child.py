"""The process that reads hostile files: `python -m server.kb.loaders.child CONFIG`, started by `server/kb/parsing.py`.

Requests come as JSON lines on stdin: {"path", "suffix"}. Replies go as JSON lines to what was stdout:

    {"text", "metadata"}   begins a document            {"more"}               continues its text
    {"at", "of", "slow"}   page `at` of so many begins; a slow one takes seconds
    {"error": [code, zh, en], "rss"}   the file failed  {"done": true, "findings", "rss"}  the file is read

Lines stay short, however long a document is. `rss` is the most memory ever held, in bytes. The process ends with its
stdin, with its parent, or at a limit; what it has said by then counts for nothing.
"""

import ctypes
import importlib
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from server.kb.loaders.base import LoadError, LoadLimits, Watch
from server.kb.loaders.sandbox import close_network

# Characters of text in a line: six bytes each at worst, far below what the parent reads at once.
PIECE = 16 * 1024
# LibreOffice opens a hundred.
_MAX_FILES = 256
_PR_SET_PDEATHSIG = 1


def main() -> None:
    config = json.loads(sys.argv[1])
    limits = LoadLimits(**config["limits"])
    _die_with(config["parent"])
    requests, replies = _take_pipes()
    _limit_process(config["memory"], limits)
    sys.addaudithook(_refuse_network)
    close_network()
    # thinc, under spaCy, imports torch when it finds it: a second and 180 MB for nothing.
    sys.modules["torch"] = None  # type: ignore[assignment]
    loaders = importlib.import_module(config["loaders"])

    def send(message: dict[str, Any]) -> None:
        replies.write(json.dumps(message, ensure_ascii=False) + "\n")

    cpu_left = 0.0

    def tell(at: int, of: int, slow: bool) -> None:  # noqa: FBT001
        nonlocal cpu_left
        send({"at": at, "of": of, "slow": slow})
        replies.flush()
        if slow:
            cpu_left += config["slow_seconds"]
            _limit_cpu(cpu_left)

    for request in requests:
        cpu_left = time.process_time() + config["cpu_seconds"]
        _limit_cpu(cpu_left)
        for message in _answer(loaders, json.loads(request), limits, tell):
            send(message)
        replies.flush()


def _answer(
    loaders: Any, request: dict[str, str], limits: LoadLimits, tell: Callable[[int, int, bool], None]
) -> Iterator[dict[str, Any]]:
    watch = Watch(tell=tell)
    end: dict[str, Any] = {"done": True}
    try:
        for document in loaders.load(Path(request["path"]), request["suffix"], limits, watch):
            text = document.page_content
            yield {"text": text[:PIECE], "metadata": document.metadata}
            for start in range(PIECE, len(text), PIECE):
                yield {"more": text[start : start + PIECE]}
    except LoadError as error:
        end = {"error": [error.code, error.zh, error.en]}
    yield {**end, "findings": asdict(watch.findings), "rss": _peak_rss()}


def _peak_rss() -> int:
    """Not what getrusage calls so: that is inherited from the server, over fork and exec."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:  # not Linux
        return 0
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def _take_pipes() -> tuple[TextIO, TextIO]:
    """Keep stdin and stdout to ourselves: libraries that print write to stderr, those that read find nothing."""
    requests = os.fdopen(os.dup(0), encoding="utf-8")
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)
    return requests, replies


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before we asked
        sys.exit(1)


def _limit_process(memory: int, limits: LoadLimits) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_MAX_FILES, _MAX_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.max_unpacked_size, limits.max_unpacked_size))


def _limit_cpu(seconds: float) -> None:
    """Counted from the start of the process."""
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), hard))


def _refuse_network(event: str, _: tuple[Any, ...]) -> None:
    """No file makes its reader speak to the network, whatever a library thinks of it."""
    if event.startswith("socket."):
        raise PermissionError("the network is closed to parsers")


if __name__ == "__main__":
    main()
