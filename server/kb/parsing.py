"""Reading files without risk to the server: a child process does it, under limits, and is killed when it must be.

No parser library is imported on this side.
"""

import asyncio
import json
import logging
import math
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from langchain_core.documents import Document

from server.core.settings import IngestSettings
from server.kb.loaders.base import Findings, LoadError, LoadLimits
from server.kb.loaders.errors import out_of_memory, parse_crashed, parse_timeout

log = logging.getLogger(__name__)

# Of the children's folders; the worker's process id follows, so that another can tell whose are left over.
FOLDER_PREFIX = "chat2llm-parse-"
_ROOT = Path(__file__).resolve().parents[2]
_MAX_LINE = 256 * 1024  # of a reply; the child's are shorter
_MAX_FILES_PER_CHILD = 200
_STDERR = "stderr.log"
_MAX_LOG = 4000
_FRAME = re.compile(r'Fatal Python error: [\w ]+$| +File "[^"]+", line \d+|[\w.]*MemoryError\b')

_COMMAND = (sys.executable, "-P", "-W", "ignore", "-X", "faulthandler", "-m", "server.kb.loaders.child")
_ENVIRONMENT = {
    "PATH": os.defpath,
    "PYTHONPATH": str(_ROOT),
    "LANG": "C.UTF-8",
    # unstructured reports each use home and prints an advertisement, unless told not to.
    "DO_NOT_TRACK": "1",
    "SCARF_NO_ANALYTICS": "1",
    "UNSTRUCTURED_DISABLE_NOTICE": "1",
    # Threads and arenas take address space, which is limited.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
}


# Is told how many pages of how many are read: pages(done, total). Of files that have pages, and not of each page.
Pages = Callable[[int, int], None]


class Reading(NamedTuple):
    """What a file says, and what was found beside it."""

    documents: list[Document]
    findings: Findings


class _ChildDiedError(Exception):
    """The child ended in the middle of a file; `status` is its return code, `frames` where it was."""

    def __init__(self, status: int, frames: list[str]) -> None:
        super().__init__(status)
        self.status, self.frames = status, frames

    def reason(self, seconds: float) -> LoadError:
        """In words for people."""
        if self.status == -signal.SIGXCPU:
            return parse_timeout(seconds)
        # PDFium aborts when it gets no memory, and traps on every other fault.
        in_pdfium = self.status == -signal.SIGABRT and any("/pypdfium2/" in frame for frame in self.frames)
        if in_pdfium or any("MemoryError" in frame for frame in self.frames):
            return out_of_memory()
        return parse_crashed()


class Parser:
    """Reads one file at a time in one child, which it starts when needed and replaces when worn or killed.

    A file has `timeout` to be read in, and each page whose text must be recognised `page_timeout` more. `loaders` names the
    module whose `load` the child calls.
    """

    def __init__(
        self,
        limits: LoadLimits,
        *,
        timeout: timedelta,
        memory: int,
        page_timeout: timedelta = timedelta(seconds=20),
        loaders: str = "server.kb.loaders",
    ) -> None:
        self._seconds, self._page_seconds = timeout.total_seconds(), page_timeout.total_seconds()
        self._config = {
            "limits": asdict(limits),
            "memory": memory,
            "cpu_seconds": math.ceil(self._seconds) + 1,  # behind the wall limit, for a parent that hangs
            "slow_seconds": self._page_seconds,
            "loaders": loaders,
        }
        self._max_rss = memory // 4
        self._lock = asyncio.Lock()
        self._child: _Child | None = None
        self._endings: set[asyncio.Task[None]] = set()

    @classmethod
    def of(cls, settings: IngestSettings, timeout: timedelta = timedelta.max) -> Self:
        """As `[ingest]` bounds it, and `timeout` if that is less."""
        limits = LoadLimits(
            settings.max_pages, settings.max_chars, settings.max_unpacked_size, settings.max_ocr_pages
        )
        return cls(
            limits,
            timeout=min(settings.parse_timeout, timeout),
            memory=settings.parse_memory,
            page_timeout=settings.ocr_page_timeout,
        )

    async def parse(self, path: Path, suffix: str) -> list[Document]:
        """Read a file, for its text alone. Raises LoadError."""
        return (await self.read(path, suffix)).documents

    async def read(self, path: Path, suffix: str, pages: Pages | None = None) -> Reading:
        """Read a file. Raises LoadError, `parse_timeout` and `parse_crashed` included."""
        async with self._lock:
            seconds = self._seconds
            try:
                async with asyncio.timeout(self._seconds) as limit:

                    def begin_page(at: int, of: int, *, is_slow: bool) -> None:
                        nonlocal seconds
                        if pages is not None:
                            pages(at, of)
                        if is_slow:
                            seconds += self._page_seconds
                            limit.reschedule((limit.when() or 0.0) + self._page_seconds)

                    await self._end_unfit_child()  # it may have died since the last file
                    if self._child is None:
                        self._child = await _Child.start(self._config, self._max_rss)
                    reading = await self._child.read(path, suffix, begin_page)
                    if pages is not None and reading.findings.pages:
                        pages(reading.findings.pages, reading.findings.pages)
                    return reading
            except TimeoutError:
                raise parse_timeout(seconds) from None
            except _ChildDiedError as death:
                raise death.reason(seconds) from None
            finally:
                await self._end_unfit_child()

    async def close(self) -> None:
        """End the child; a file that is being read fails."""
        await self._end_child()

    async def _end_unfit_child(self) -> None:
        if self._child is not None and not self._child.is_fit:
            await self._end_child()

    async def _end_child(self) -> None:
        if self._child is not None:
            self._child.kill()
            # In a task of its own: what cancelled us may cancel again, and the child must be seen off all the same.
            ending = asyncio.create_task(self._child.bury())
            self._endings.add(ending)
            ending.add_done_callback(self._endings.discard)
            self._child = None
        if self._endings:
            await asyncio.shield(asyncio.gather(*self._endings))


def _make_folder() -> tuple[Path, BinaryIO]:
    """A child's private folder, and the file for its stderr there."""
    folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
    return folder, (folder / _STDERR).open("ab")


def _drop_folder(making: asyncio.Future[tuple[Path, BinaryIO]]) -> None:
    """Nobody waits for it any more."""
    if not making.cancelled() and making.exception() is None:
        folder, stderr = making.result()
        stderr.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Child:
    """A running child and its private folder, which is its working directory and holds its stderr."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, max_rss: int) -> None:
        self._process, self._folder, self._max_rss = process, folder, max_rss
        self._is_busy = False
        self._files = self._rss = 0

    @classmethod
    async def start(cls, config: dict[str, Any], max_rss: int) -> Self:
        making = asyncio.ensure_future(asyncio.to_thread(_make_folder))
        try:
            folder, stderr = await asyncio.shield(making)
        except asyncio.CancelledError:
            making.add_done_callback(_drop_folder)
            raise
        try:
            process = await asyncio.create_subprocess_exec(
                *_COMMAND,
                json.dumps({**config, "parent": os.getpid()}),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                limit=_MAX_LINE,
                cwd=folder,
                env={**_ENVIRONMENT, "HOME": str(folder), "TMPDIR": str(folder)},
                start_new_session=True,  # so that what it starts (pandoc, LibreOffice) is killed with it
            )
        finally:
            stderr.close()
        return cls(process, folder, max_rss)

    @property
    def is_fit(self) -> bool:
        """Whether it can read another file: not in the middle of one, alive, neither old nor fat."""
        is_idle = not self._is_busy and self._process.returncode is None
        return is_idle and self._files < _MAX_FILES_PER_CHILD and self._rss <= self._max_rss

    async def read(self, path: Path, suffix: str, begin_page: Callable[..., None]) -> Reading:
        """Raises LoadError or _ChildDiedError."""
        self._is_busy = True
        self._files += 1
        assert self._process.stdin is not None
        self._process.stdin.write(_request(path, suffix))
        texts: list[list[str]] = []
        metadata: list[dict[str, Any]] = []
        while True:
            reply = await self._next_reply()
            if "text" in reply:
                texts.append([reply["text"]])
                metadata.append(reply["metadata"])
            elif "more" in reply:
                texts[-1].append(reply["more"])
            elif "at" in reply:
                begin_page(reply["at"], reply["of"], is_slow=reply["slow"])
            else:
                break
        self._is_busy, self._rss = False, reply["rss"]
        findings = Findings(**reply["findings"])
        if "error" in reply:
            code, zh, en = reply["error"]
            raise LoadError(code, zh, en, findings)
        documents = [
            Document(page_content="".join(parts), metadata=data)
            for parts, data in zip(texts, metadata, strict=True)
        ]
        return Reading(documents, findings)

    async def _next_reply(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            status = await self._process.wait()
            frames = await asyncio.to_thread(self._last_frames)
            log.warning("parser died", extra={"status": status, "at": frames})
            raise _ChildDiedError(status, frames)
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _last_frames(self) -> list[str]:
        """Where it died, by the end of its stderr. The rest of that may quote the file, and is not for the log."""
        try:
            with (self._folder / _STDERR).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - _MAX_LOG))
                lines = file.read().decode("utf-8", "replace").splitlines()
        except FileNotFoundError:  # closed while it read
            return []
        return [line.strip() for line in lines if _FRAME.match(line)]

    def kill(self) -> None:
        # Its session has its process id for as long as it is not waited for.
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def bury(self) -> None:
        """Wait for its end and remove its folder."""
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def _request(path: Path, suffix: str) -> bytes:
    # Absolute, as the child works in a folder of its own.
    return json.dumps({"path": str(path.absolute()), "suffix": suffix}).encode() + b"\n"
