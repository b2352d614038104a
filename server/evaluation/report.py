"""A run, or two of them compared, as one HTML page that needs nothing else: no script, nothing fetched, printable."""

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from server.core.i18n import Language
from server.evaluation.conditions import flat
from server.evaluation.models import Result, Run
from server.evaluation.plots import Dot, bars, dots
from server.evaluation.run_repository import Of
from server.evaluation.runs import Comparison
from server.evaluation.summary import REFUSED
from server.evaluation.words import CONDITIONS, FATES, MEANINGS, MEASURES, NOT_SEEN, OUTCOMES, REPORT

_FOLDER = Path(__file__).parent
_STYLE = (_FOLDER / "report.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
# Who is shown it may be shown nothing else: its one style by its hash, and no script of anybody's.
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-cache",
}
# Questions of each table, and characters of an answer.
_MOST, _LONGEST = 200, 300
_environment = Environment(
    loader=FileSystemLoader(_FOLDER),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render_run(found: Of, results: Sequence[Result], language: Language) -> str:
    """A run that is done. Takes a moment for thousands of questions."""
    run, row, kb = found
    summary, page = run.summary or {}, _Page(language)
    values: Mapping[str, Any] = summary["values"]
    plotted = [(page.measure(name), [_dot("other", told)]) for name, told in values.items()]
    tables = [
        page.by_tag(summary["tags"]),
        page.missed(results),
        *page.wrong_answers(results),
        page.times(summary["milliseconds"]),
        page.conditions(run.conditions or {}),
    ]
    return page.render(
        title=page.word("report"),
        set_name=row.name,
        kb_name=kb.name,
        runs=[page.head("other", run)],
        comparison=None,
        plot=dots(plotted, page.word("measures")),
        rows=[page.value_row(name, told) for name, told in values.items()],
        ranks_plot=page.ranks([("other", run)]),
        tables=[table for table in tables if table],
    )


def render_comparison(comparison: Comparison, language: Language) -> str:
    base, other, told = comparison.base[0], comparison.other[0], comparison.told
    page = _Page(language)
    both = told["values"] | told["decisions"]
    plotted = [
        (page.measure(name), [_dot("base", one["base"]), _dot("other", one["other"])])
        for name, one in both.items()
    ]
    return page.render(
        title=page.word("comparison"),
        set_name=comparison.other[1].name,
        kb_name=comparison.other[2].name,
        runs=[page.head("base", base), page.head("other", other)],
        comparison=told,
        plot=dots(plotted, page.word("measures")),
        rows=[page.pair_row(name, one) for name, one in both.items()],
        ranks_plot=page.ranks([("base", base), ("other", other)]),
        tables=[
            page.differing(told["conditions"]),
            page.moved("worse", told),
            page.moved("better", told),
        ],
    )


def _dot(kind: str, told: Mapping[str, Any]) -> Dot:
    return Dot(kind, told["value"], told["low"], told["high"])


class _Page:
    """Its parts in one language."""

    def __init__(self, language: Language) -> None:
        self._language = language

    def word(self, name: str) -> str:
        return REPORT[name].in_language(self._language)

    def measure(self, name: str) -> str:
        return MEASURES[name].in_language(self._language)

    def render(self, **values: Any) -> str:
        language = self._language
        return _environment.get_template("report.jinja").render(
            language=language,
            style=Markup(_STYLE),  # noqa: S704 (a file of ours)
            words={name: text.in_language(language) for name, text in REPORT.items()},
            conditions_words={name: text.in_language(language) for name, text in CONDITIONS.items()},
            meanings=[(name.in_language(language), text.in_language(language)) for name, text in MEANINGS],
            **values,
        )

    def head(self, kind: str, run: Run) -> dict[str, Any]:
        summary = run.summary or {}
        tokens = summary.get("tokens") or {}
        spent = f"{tokens['prompt_tokens']}/{tokens['completion_tokens']}" if any(tokens.values()) else ""
        return {
            "kind": kind,
            "name": run.name or run.id,
            "begun": f"{run.started_at or run.created_at:%Y-%m-%d %H:%M}",
            "questions": summary.get("questions", run.total),
            "failed": summary.get("failed"),
            "moved": summary.get("moved"),
            "tokens": spent,
        }

    def value_row(self, name: str, told: Mapping[str, Any]) -> dict[str, Any]:
        interval = f"{told['low']:.3f} – {told['high']:.3f}"
        return {
            "name": self.measure(name),
            "value": f"{told['value']:.3f}",
            "interval": interval,
            "n": told["n"],
        }

    def pair_row(self, name: str, told: Mapping[str, Any]) -> dict[str, Any]:
        test, difference = told.get("mcnemar"), told.get("difference")
        change = told["other"]["value"] - told["base"]["value"]
        p = (test or difference or {})["p"]
        row = {
            "name": self.measure(name),
            "base": f"{told['base']['value']:.3f}",
            "other": f"{told['other']['value']:.3f}",
            "difference": f"{change:+.3f}",
            "gained": f"+{test['gained']} / −{test['lost']}" if test else "",
            "p": "< 0.001" if p < 0.001 else f"{p:.3f}",
            "n": told["other"]["n"],
            "mood": "" if p >= 0.05 else "good" if change > 0 else "bad",
        }
        if difference:
            row["difference"] += f" ({difference['low']:+.3f} … {difference['high']:+.3f})"
        return row

    def ranks(self, runs: Sequence[tuple[str, Run]]) -> Markup | None:
        series = [(kind, (run.summary or {}).get("rank_counts") or []) for kind, run in runs]
        if not all(sum(counts) for _, counts in series):
            return None
        labels = [str(rank) for rank in range(1, len(series[0][1]))] + [self.word("none")]
        return bars(labels, series, self.word("ranks"))

    # ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _table(
        self, title: str, head: Sequence[str], rows: Sequence[Sequence[object]], total: int | None = None
    ) -> dict[str, Any]:
        words = [self.word(name) if name in REPORT else name for name in head]
        return {
            "title": self.word(title),
            "head": words,
            "rows": rows,
            "total": total,
            "empty": self.word("nothing"),
        }

    def by_tag(self, tags: Mapping[str, Any]) -> dict[str, Any] | None:
        names = list(dict.fromkeys(name for told in tags.values() for name in told["values"]))
        rows = [
            [tag, told["questions"], *(_told(told["values"].get(name)) for name in names)]
            for tag, told in tags.items()
        ]
        head = ["tag", "count", *(self.measure(name) for name in names)]
        return self._table("tags", head, rows) if rows else None

    def missed(self, results: Sequence[Result]) -> dict[str, Any]:
        wrong = [one for one in results if one.ranks and 1 not in one.ranks]
        rows = [
            [
                one.asked["question"],
                _wanted(one),
                self._rank(one.ranks),
                " · ".join(f"{hit['file_name']} ({hit['score']:.3f})" for hit in one.hits[:3]) or "–",
                self._fate(one),
            ]
            for one in wrong[:_MOST]
        ]
        return self._table("missed", ("question", "wanted", "rank", "found", "lost"), rows, len(wrong))

    def wrong_answers(self, results: Sequence[Result]) -> Iterator[dict[str, Any]]:
        if all(one.outcome is None for one in results):
            return
        wrong = [one for one in results if _is_wrong(one)]
        rows = [
            [
                one.asked["question"],
                one.asked["gold_answer"] or "–",
                self._outcome(one.outcome),
                (one.answer or one.error_code or "")[:_LONGEST],
            ]
            for one in wrong[:_MOST]
        ]
        yield self._table("answers", ("question", "wanted", "outcome", "answer"), rows, len(wrong))

    def times(self, steps: Mapping[str, Any]) -> dict[str, Any]:
        rows = [[step, f"{told['p50']} / {told['p95']}"] for step, told in steps.items()]
        return self._table("times", ("", "times"), rows)

    def conditions(self, conditions: Mapping[str, Any]) -> dict[str, Any]:
        rows = [
            [self._condition(name), _shown(value)]
            for name, value in flat(conditions)
            if value not in (None, [])
        ]
        return self._table("conditions", ("", ""), rows)

    def differing(self, conditions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        rows = [
            [self._condition(one["name"]), _shown(one["base"]), _shown(one["other"])] for one in conditions
        ]
        return self._table("differ", ("", "base", "other"), rows) | {"empty": self.word("same")}

    def moved(self, kind: str, told: Mapping[str, Any]) -> dict[str, Any]:
        rows = [[one["question"], self._state(one["base"]), self._state(one["other"])] for one in told[kind]]
        return self._table(kind, ("question", "base", "other"), rows, told[f"{kind}_total"])

    def _state(self, told: Mapping[str, Any]) -> str:
        parts = [f"{self.word('rank')} {self._rank(told['ranks'])}"] if told["ranks"] else []
        if told["outcome"]:
            parts.append(self._outcome(told["outcome"]))
        if told["contains_gold"] is not None:
            parts.append("✓" if told["contains_gold"] else "✗")
        return " · ".join(parts)

    def _rank(self, ranks: Sequence[int | None]) -> str:
        return ", ".join(self.word("none") if rank is None else str(rank) for rank in ranks)

    def _fate(self, result: Result) -> str:
        """Why nothing of the gold is a hit."""
        if any(result.ranks):
            return ""
        if result.lost is None:
            return NOT_SEEN.in_language(self._language)
        fate, rank = result.lost["outcome"], result.lost["rank"]
        told = FATES[fate].in_language(self._language) if fate in FATES else fate
        return f"{told} ({self.word('rank')} {rank})"

    def _outcome(self, outcome: str | None) -> str:
        return OUTCOMES[outcome].in_language(self._language) if outcome in OUTCOMES else "–"

    def _condition(self, name: str) -> str:
        return CONDITIONS[name].in_language(self._language) if name in CONDITIONS else name


def _told(value: Mapping[str, Any] | None) -> str:
    return "–" if value is None else f"{value['value']:.3f}"


def _wanted(result: Result) -> str:
    passage = result.asked["gold_passage"] or ""
    files = ", ".join(result.asked["gold_files"])
    return f"{files}: {passage[:80]}…" if files and passage else files or passage[:120]


def _is_wrong(result: Result) -> bool:
    answerable = result.asked["answerable"]
    if result.outcome == "failed" or result.contains_gold is False:
        return True
    return answerable is not None and answerable == (result.outcome == REFUSED)


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
