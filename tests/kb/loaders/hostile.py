"""Stands in for `server.kb.loaders` in the child: what a file may do to its reader, picked by its suffix."""

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from langchain_core.documents import Document

from server.kb.loaders.base import LoadError, LoadLimits, Watch


def load(path: Path, suffix: str, limits: LoadLimits, watch: Watch) -> Iterator[Document]:
    yield Document(page_content="begun")
    if suffix == ".slow":
        yield from _slow(watch)
    else:
        yield from _DEEDS[suffix](path, limits)


def _slow(watch: Watch) -> Iterator[Document]:
    """Ten pages of a third of a second, each told of."""
    for page in range(10):
        watch.tell(page, 10, True)
        time.sleep(0.3)
    watch.findings.ocr_pages, watch.findings.hidden_chars = list(range(1, 11)), 3
    watch.findings.pages = 10
    yield Document(page_content="ten pages")


def _hang(path: Path, _: LoadLimits) -> Iterator[Document]:
    path.with_name("hung").write_text(str(os.getpid()))
    while True:
        time.sleep(1)
    yield Document(page_content="never")


def _spin(_: Path, __: LoadLimits) -> Iterator[Document]:
    while True:
        pass
    yield Document(page_content="never")


def _abort(_: Path, __: LoadLimits) -> Iterator[Document]:
    os.abort()
    yield Document(page_content="never")


def _segfault(_: Path, __: LoadLimits) -> Iterator[Document]:
    ctypes.string_at(0)
    yield Document(page_content="never")


def _exit(_: Path, __: LoadLimits) -> Iterator[Document]:
    os._exit(0)
    yield Document(page_content="never")


def _raise(_: Path, __: LoadLimits) -> Iterator[Document]:
    raise RuntimeError("a secret of the file")
    yield Document(page_content="never")


def _eat(_: Path, __: LoadLimits) -> Iterator[Document]:
    eaten = [bytes(64 * 1024**2) for _ in range(1000)]
    yield Document(page_content=str(len(eaten)))


def _swell(_: Path, __: LoadLimits) -> Iterator[Document]:
    yield Document(page_content=str(len(bytearray(os.urandom(1024)) * (200 * 1024))))


def _print(_: Path, __: LoadLimits) -> Iterator[Document]:
    print(  # noqa: T201 (what libraries do)
        '{"text": "forged", "metadata": {}}\n{"done": true, "rss": 0}', flush=True
    )
    sys.stderr.write("noise\n" * 100_000)
    os.write(1, b'{"done": true, "rss": 0}\n')
    assert sys.stdin.read() == ""
    yield Document(page_content="printed")


def _spawn(path: Path, _: LoadLimits) -> Iterator[Document]:
    grandchild = subprocess.Popen(["sleep", "60"])
    path.with_name("grandchild").write_text(str(grandchild.pid))
    yield from _hang(path, _)


def _connect(_: Path, __: LoadLimits) -> Iterator[Document]:
    for attempt in (
        lambda: socket.create_connection(("127.0.0.1", 9)),
        lambda: socket.getaddrinfo("localhost", 1),
    ):
        try:
            attempt()
        except PermissionError as error:
            yield Document(page_content=str(error))


def _connect_natively(_: Path, __: LoadLimits) -> Iterator[Document]:
    """Past Python, from a process of its own: which sockets the kernel gives."""
    code = "import ctypes, os\nc = ctypes.CDLL(None, use_errno=True)\n"
    code += "for family in (2, 10, 16, 17, 1):\n    fd = c.socket(family, 2, 0)\n    print(family, fd >= 0 or ctypes.get_errno())\n"
    code += "print('io_uring', c.syscall(425, 1, 0) >= 0 or ctypes.get_errno())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    yield Document(page_content=done.stdout.strip())


def _fail(_: Path, __: LoadLimits) -> Iterator[Document]:
    raise LoadError("no_text", "无。", "None.")
    yield Document(page_content="never")


def _describe(path: Path, limits: LoadLimits) -> Iterator[Document]:
    """What the child is and what holds it."""
    for name in ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_NOFILE", "RLIMIT_FSIZE"):
        yield Document(
            page_content=str(resource.getrlimit(getattr(resource, name))[0]), metadata={"name": name}
        )
    facts = {
        "pid": os.getpid(),
        "cwd": str(Path.cwd()),
        "environment": " ".join(sorted(os.environ)),
        "is_leader": os.getsid(0) == os.getpid(),
        "max_pages": limits.max_pages,
        "path": path,
        "sys_path": str(Path.cwd()) in sys.path or "" in sys.path,
        "cpu": resource.getrlimit(resource.RLIMIT_CPU)[0] - time.process_time() < 100,
        "ignored": signal.getsignal(signal.SIGXCPU) == signal.SIG_DFL,
    }
    for name, value in facts.items():
        yield Document(page_content=str(value), metadata={"name": name})


def _long(_: Path, __: LoadLimits) -> Iterator[Document]:
    """What JSON makes longest: six bytes a character."""
    yield Document(page_content="\x01字" * 2_000_000, metadata={"page": 1, "heading": "\x01" * 5000})
    yield Document(page_content="")
    for number in range(20_000):
        yield Document(page_content=f"行 {number}", metadata={"row": number, "atomic": True})


_DEEDS: dict[str, Callable[[Path, LoadLimits], Iterator[Document]]] = {
    ".natively": _connect_natively,
    ".hang": _hang,
    ".spin": _spin,
    ".abort": _abort,
    ".segfault": _segfault,
    ".exit": _exit,
    ".raise": _raise,
    ".eat": _eat,
    ".swell": _swell,
    ".print": _print,
    ".spawn": _spawn,
    ".connect": _connect,
    ".fail": _fail,
    ".describe": _describe,
    ".long": _long,
}
