"""`eval …`: question sets and runs over them, from the command line. They work beside a running server and without one."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from server.auth.principal import Principal
from server.cli.arguments import count, group_of, of_client
from server.cli.console import printable
from server.cli.output import say, table
from server.core.errors import AppError, Invalid
from server.core.i18n import Language, Text
from server.core.settings import Settings
from server.evaluation.models import QuestionSet, Run, RunState
from server.evaluation.words import CONDITIONS, MEASURES, STATES

T = TypeVar("T")


def add_commands(commands: Any) -> None:
    """`commands`: what `ArgumentParser.add_subparsers` returned."""
    group = group_of(commands, "eval", "question sets: how well knowledge bases are searched and answered")
    _of_kb(group, "list", "question sets of a knowledge base, and their runs", list_sets, named=False)
    importing = _of_kb(
        group, "import", "take questions from a CSV file; a set that is not there is made", import_set
    )
    importing.add_argument("file", type=Path)
    exporting = _of_kb(group, "export", "write a set as CSV", export_set)
    exporting.add_argument("file", type=Path)
    run = _of_kb(
        group,
        "run",
        "ask all questions of a set, here or by the running worker, and print what came out",
        start_run,
    )
    run.add_argument("--name", default="", help="what to call it")
    run.add_argument(
        "--model", help="who answers: quote, or a model of the configuration (default: search only)"
    )
    run.add_argument("--top-k", type=count, default=3)
    run.add_argument("--threshold", type=float)
    run.add_argument(
        "--tag", action="append", default=[], help="only questions with this tag; may be repeated"
    )
    run.add_argument("--words", type=_share, help="try this weight of words (0 to 1), for this run only")
    run.add_argument("--fusion", choices=("score", "rank"), help="try this way to fuse, for this run only")
    run.add_argument("--accept-cost", action="store_true", help="let a language model work for it")
    compare = of_client(group, "compare", "what a run does better and worse than another", compare_runs)
    compare.add_argument("base", help="a run, see `eval list`")
    compare.add_argument("other")
    report = of_client(group, "report", "write a run as an HTML page", write_report)
    report.add_argument("run_id", metavar="run", help="see `eval list`")
    report.add_argument("file", type=Path)
    report.add_argument("--base", help="another run to compare it with")
    report.add_argument("--lang", choices=("zh", "en"), default="zh")


def _of_kb(group: Any, name: str, words: str, run: Any, *, named: bool = True) -> argparse.ArgumentParser:
    parser = of_client(group, name, words, run)
    parser.add_argument("--kb", required=True, help="a knowledge base, see `kb list`")
    if named:
        parser.add_argument("--set", required=True, help="a question set, see `eval list`")
    return parser


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("write a number from 0 to 1")
    return value


class _Desk:
    """What the commands work with, over services of this process."""

    def __init__(self, services: Any, caller: Principal) -> None:
        from server.evaluation.deps import Evaluation
        from server.worker import evaluations

        self.caller = caller
        self.evaluation = Evaluation.over(services.database, services.chat, services.runtime)
        self.runner = evaluations(services)

    async def set_of(self, options: argparse.Namespace) -> QuestionSet:
        return await self.evaluation.sets.find_named(self.caller, options.kb, options.set)


def _work(settings: Settings, options: argparse.Namespace, task: Callable[[_Desk], Awaitable[T]]) -> T:
    from server.cli.intake import operator
    from server.services import open_services

    async def run() -> T:
        async with open_services(settings, engine=False) as services:
            return await task(_Desk(services, operator(options.client)))

    return asyncio.run(run())


def list_sets(settings: Settings, options: argparse.Namespace) -> int:
    async def task(desk: _Desk) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for row, questions, _ in await desk.evaluation.sets.list_all(desk.caller, options.kb):
            rows.append((row.name, questions, "", "", "", ""))
            runs, _ = await desk.evaluation.runs.list_all(desk.caller, row.id, offset=0, limit=20)
            rows += [("", "", run.id, run.state, f"{run.percent}%", run.name) for run in runs]
        return rows

    table(("set", "questions", "run", "state", "done", "name"), _work(settings, options, task))
    return 0


def import_set(settings: Settings, options: argparse.Namespace) -> int:
    from server.evaluation.service import SetNotFound

    data = options.file.read_bytes()

    async def task(desk: _Desk) -> int:
        try:
            found = await desk.set_of(options)
        except SetNotFound:
            found = await desk.evaluation.sets.create(desk.caller, options.kb, options.set)
        done = await desk.evaluation.sets.import_csv(desk.caller, found.id, data)
        print(f"{done.created} created, {done.updated} updated, {done.unchanged} unchanged")
        for number, error in done.failed.items():
            say(f"第 {number} 行：{error.text.zh}", f"row {number}: {error.text.en}")
        return 1 if done.failed else 0

    return _work(settings, options, task)


def export_set(settings: Settings, options: argparse.Namespace) -> int:
    async def task(desk: _Desk) -> bytes:
        return (await desk.evaluation.sets.export_csv(desk.caller, (await desk.set_of(options)).id))[1]

    options.file.write_bytes(_work(settings, options, task))
    return 0


def start_run(settings: Settings, options: argparse.Namespace) -> int:
    from server.evaluation.wish import Wish

    tried = {
        name: getattr(options, name) for name in ("words", "fusion") if getattr(options, name) is not None
    }
    wish = Wish(
        min(50, options.top_k),
        options.threshold,
        options.model,
        tags=tuple(options.tag),
        retrieval=tried,
    )

    async def task(desk: _Desk) -> Run:
        found = await desk.set_of(options)
        runs, caller = desk.evaluation.runs, desk.caller
        run = await runs.start(caller, found.id, wish, options.name, accept_cost=options.accept_cost)
        working = asyncio.ensure_future(_bring_to_an_end(desk, run.id, settings))
        while True:
            done, _ = await asyncio.wait({working}, timeout=1)
            run, _, _ = await runs.get(caller, run.id)
            sys.stderr.write(f"\r{run.percent:3d}%")
            if done:
                working.result()
                sys.stderr.write("\n")
                return run

    run = _work(settings, options, task)
    print(run.id)
    if run.state != RunState.DONE:
        told = Text(**run.error_text) if run.error_text else STATES[run.state]
        raise AppError(told, code=run.error_code)
    rows = [
        (MEASURES[name].en, f"{told['value']:.3f}", f"{told['low']:.3f} – {told['high']:.3f}", told["n"])
        for name, told in (run.summary or {})["values"].items()
    ]
    table(("measure", "value", "95 %", "questions"), rows)
    return 0


async def _bring_to_an_end(desk: _Desk, run_id: str, settings: Settings) -> None:
    """Do it here, or wait for the worker that was quicker to take it."""
    while not (await desk.evaluation.runs.get(desk.caller, run_id))[0].is_over:
        if not await desk.runner.step(run_id):
            await asyncio.sleep(settings.ingest.poll.total_seconds())


def compare_runs(settings: Settings, options: argparse.Namespace) -> int:
    comparison = _work(
        settings,
        options,
        lambda desk: desk.evaluation.runs.compare(desk.caller, options.base, options.other),
    )
    told = comparison.told
    print(f"{told['pairs']} questions in both, {told['changed']} changed, {told['unmatched']} in one only")
    for one in told["conditions"]:
        name = CONDITIONS[one["name"]].en if one["name"] in CONDITIONS else one["name"]
        print(printable(f"{name}: {one['base']} → {one['other']}"))
    rows = []
    for name, one in (told["values"] | told["decisions"]).items():
        test, difference = one.get("mcnemar"), one.get("difference")
        p = (test or difference)["p"]
        moved = f"+{test['gained']} -{test['lost']}" if test else ""
        values = one["base"]["value"], one["other"]["value"]
        rows.append(
            (
                MEASURES[name].en,
                f"{values[0]:.3f}",
                f"{values[1]:.3f}",
                f"{values[1] - values[0]:+.3f}",
                moved,
                f"{p:.4f}",
            )
        )
    table(("measure", "before", "after", "difference", "gained/lost", "p"), rows)
    for kind in ("worse", "better"):
        for one in told[kind][:20]:
            print(printable(f"{kind}: {one['question']} {one['base']['ranks']} → {one['other']['ranks']}"))
        if told[f"{kind}_total"] > 20:
            print(f"{kind}: … {told[f'{kind}_total']} in all; see `eval report --base`")
    return 0


def write_report(settings: Settings, options: argparse.Namespace) -> int:
    language: Language = options.lang
    page = _work(
        settings,
        options,
        lambda desk: desk.evaluation.reports.write(desk.caller, options.run_id, options.base, language),
    )
    if options.file.is_dir():
        raise Invalid(Text(f"{options.file} 是文件夹", f"{options.file} is a folder"))
    options.file.write_text(page, encoding="utf-8")
    return 0
