"""Requests offered to a server on this machine, from a process of its own, so that asking costs the asked nothing.

Sockets and little else: a general client takes longer to send a request than the server takes to refuse it. The second
process ends by itself, when everything was answered or nobody answers any more, and with its parent.
"""

import asyncio
import json
import pickle
import re
import sys
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from server.core.processes import die_with_parent

_HOST = "127.0.0.1"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
# How long after the last request its answer is waited for.
_PATIENCE = 15.0


@dataclass(frozen=True, slots=True)
class Load:
    """`rate` requests a second, whatever the answers do; without it, the next one as soon as a connection is free."""

    port: int
    requests: list[bytes]
    connections: int
    rate: float | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a load. Times are in milliseconds, from when a request was due; unanswered ones have the status 0."""

    statuses: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    # From the first request to the last one sent, and to the last one answered, in seconds.
    sending: float = 0.0
    answering: float = 0.0
    # Sent more than 50 ms after they were due, as all connections were waiting.
    late: int = 0
    # Never sent, as no connection became free before the end.
    unsent: int = 0
    # Share of a core that the offering process used: near 1 the figures are its own.
    cpu: float = 0.0

    @property
    def answered(self) -> int:
        return len(self.statuses) - self.statuses.count(0)

    @property
    def answer_times(self) -> list[float]:
        """Of those that were answered."""
        return [taken for taken, status in zip(self.times, self.statuses, strict=True) if status] or [
            0.0,
            0.0,
        ]

    def told(self) -> str:
        """Rates, statuses and the generator's own load in one line."""
        counts = ", ".join(f"{count}× {status}" for status, count in sorted(Counter(self.statuses).items()))
        sent = (len(self.statuses) - self.unsent) / max(self.sending, 1e-9)
        back = self.answered / max(self.answering, 1e-9)
        return f"sent {sent:.0f}/s ({self.late} late, {self.unsent} not at all), answered {back:.0f}/s; {counts}; generator {self.cpu:.0%} of a core"


def request(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """One HTTP request as it goes over the wire."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {_HOST}", *(f"{k}: {v}" for k, v in headers.items())]
    if method != "GET":
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def offer(load: Load) -> Outcome:
    """Send it all from this process."""
    return await _Offer(load).run()


class Elsewhere:
    """The same from a second process. `started` returns when the first request is about to be sent."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._process: asyncio.subprocess.Process | None = None

    async def started(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(pickle.dumps(self._load))
        await self._process.stdin.drain()
        self._process.stdin.close()
        await self._process.stdout.readline()

    async def outcome(self) -> Outcome:
        assert self._process
        assert self._process.stdout
        data = await self._process.stdout.read()
        assert await self._process.wait() == 0
        return Outcome(**json.loads(data))


async def offer_elsewhere(load: Load) -> Outcome:
    """Send it all from a second process."""
    second = Elsewhere(load)
    await second.started()
    return await second.outcome()


class _Line(asyncio.Protocol):
    """A connection that is kept."""

    def __init__(self, owner: "_Offer") -> None:
        self.owner, self.number, self.buffer = owner, -1, b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, number: int, raw: bytes) -> None:
        assert self.transport is not None
        self.number, self.buffer = number, b""
        self.transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self.buffer, 0, end + 2)
        if len(self.buffer) >= end + 4 + (int(length[1]) if length else 0):
            number, self.number = self.number, -1
            self.owner.answered(self, number, int(self.buffer[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None
        if self.number >= 0:
            self.owner.lost(self.number)


class _Offer:
    """A load while it runs."""

    def __init__(self, load: Load) -> None:
        self.load, total = load, len(load.requests)
        self.outcome = Outcome([0] * total, [0.0] * total)
        self.due = [0.0] * total
        self.free: list[_Line] = []
        self.waiting: deque[int] = deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.lines = self.finished = 0
        self.begin = self.last_sent = self.last_answer = 0.0
        self.done = asyncio.Event()

    async def run(self) -> Outcome:
        self.begin, cpu = time.perf_counter(), time.process_time()
        for number in range(len(self.load.requests)):
            if self.load.rate:
                self.due[number] = self.begin + number / self.load.rate
                if (pause := self.due[number] - time.perf_counter()) > 0:
                    await asyncio.sleep(pause)
            self._fire(number)
        if self.load.rate:
            self._drop_waiting()
        end = time.perf_counter()
        while not self.done.is_set() and time.perf_counter() - max(end, self.last_answer) < _PATIENCE:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.done.wait(), 1)
        self.outcome.sending = self.last_sent - self.begin
        self.outcome.answering = self.last_answer - self.begin
        self.outcome.cpu = (time.process_time() - cpu) / (time.perf_counter() - self.begin)
        for line in self.free:
            if line.transport:
                line.transport.close()
        return self.outcome

    def _drop_waiting(self) -> None:
        """The time is over: what found no free connection is not sent any more."""
        self.outcome.unsent = len(self.waiting)
        self.finished += len(self.waiting)
        self.waiting.clear()
        if self.finished == len(self.load.requests):
            self.done.set()

    def _fire(self, number: int) -> None:
        while self.free:
            line = self.free.pop()
            if line.transport is not None and not line.transport.is_closing():
                self._send(line, number)
                return
            self.lines -= 1
        if self.lines < self.load.connections:
            self.lines += 1
            task = asyncio.ensure_future(self._connect(number))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
        else:
            self.waiting.append(number)

    async def _connect(self, number: int) -> None:
        try:
            _, line = await asyncio.get_running_loop().create_connection(
                lambda: _Line(self), _HOST, self.load.port
            )
        except OSError:
            self.lost(number)
        else:
            self._send(line, number)

    def _send(self, line: _Line, number: int) -> None:
        self.last_sent = time.perf_counter()
        if self.load.rate is None:
            self.due[number] = self.last_sent
        elif self.last_sent - self.due[number] > 0.05:
            self.outcome.late += 1
        line.ask(number, self.load.requests[number])

    def answered(self, line: _Line, number: int, status: int) -> None:
        self.last_answer = time.perf_counter()
        self.outcome.statuses[number] = status
        self.outcome.times[number] = (self.last_answer - self.due[number]) * 1000
        self.free.append(line)
        self._finish()

    def lost(self, number: int) -> None:
        """Neither sent again nor left out: it counts as unanswered."""
        self.outcome.times[number] = (time.perf_counter() - self.due[number]) * 1000
        self.lines -= 1
        self._finish()

    def _finish(self) -> None:
        self.finished += 1
        if self.waiting:
            self._fire(self.waiting.popleft())
        elif self.finished == len(self.load.requests):
            self.done.set()


def main() -> None:
    die_with_parent()
    load: Load = pickle.load(sys.stdin.buffer)
    print("started", flush=True)
    print(json.dumps(asdict(asyncio.run(offer(load)))))


if __name__ == "__main__":
    main()
