"""How a measurement is told: what, on what, raw figures, and the goal beside them."""

import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured value. `met` is None where there is no goal."""

    name: str
    value: str
    goal: str = ""
    met: bool | None = None
    raw: str = ""


def machine_line() -> str:
    """Processor, cores, load and versions: without them a figure says nothing."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return f"{model}, {os.cpu_count()} cores, load {load}; Python {platform.python_version()}, {platform.platform()}"


def percentile(values: Sequence[float], share: int) -> float:
    """The value that `share` of a hundred do not exceed."""
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def spread(values: Sequence[float], unit: str = "ms") -> str:
    """Raw figures in one line."""
    ordered = sorted(values)
    middle = statistics.median(ordered)
    return f"n={len(ordered)} min {ordered[0]:.1f} p50 {middle:.1f} p95 {percentile(ordered, 95):.1f} max {ordered[-1]:.1f} {unit}"


def show(title: str, figures: Sequence[Figure]) -> None:
    """Print one part and keep it under bench/results/."""
    print(f"\n{title}")
    for figure in figures:
        mark = "" if figure.met is None else ("  ✓" if figure.met else "  ✗ missed")
        goal = f"  (goal {figure.goal})" if figure.goal else ""
        print(f"  {figure.name:<44} {figure.value:>18}{goal}{mark}")
        if figure.raw:
            print(f"      {figure.raw}")
    RESULTS.mkdir(exist_ok=True)
    entry = {
        "at": datetime.now(UTC).isoformat(),
        "machine": machine_line(),
        "figures": [asdict(f) for f in figures],
    }
    path = RESULTS / f"{title.split(':')[0].lower().replace(' ', '-')}.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry, ensure_ascii=False) + "\n")
