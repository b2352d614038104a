"""The command line of startup.py: today's flags and those of chat2llm, and what of the product they ask for."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Part = Literal["api", "worker", "engines"]
_ALL: frozenset[Part] = frozenset({"api", "worker", "engines"})
# What each of the old flags starts. The pages and the models of vendors need no process of their own any more.
_PARTS: dict[str, frozenset[Part]] = {
    "all_webui": _ALL,
    "all_api": _ALL,
    "llm_api": frozenset({"api", "engines"}),
    "openai_api": frozenset({"api"}),
    "model_worker": frozenset({"engines"}),
    "api": frozenset({"api", "worker"}),
    "api_worker": frozenset(),
    "webui": frozenset({"api", "worker"}),
}
_PAGES = "the pages are served by the API itself, under /h5/; there is no web UI of its own"
_NOTES = {
    "all_webui": f"-a: {_PAGES}",
    "webui": f"-w: {_PAGES}",
    "openai_api": "-o: there is one API on one port; no process of its own for OpenAI's protocol",
    "llm_api": "--llm-api: there is one API on one port; without the worker, uploads wait until one is started",
    "api_worker": "-p: models of vendors need no process of their own; the API calls them",
    "controller": "-c: there is no controller; the address is ignored",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be started, and what the operator should know about the flags."""

    parts: frozenset[Part]
    notes: list[str]


def plan(options: argparse.Namespace) -> Plan:
    """No flag asks for everything; several ask for all that each of them does."""
    chosen = [flag for flag in _PARTS if getattr(options, flag)]
    parts = frozenset[Part]().union(*(_PARTS[flag] for flag in chosen)) if chosen else _ALL
    if options.lite:
        parts -= {"engines"}
    return Plan(parts, [note for flag, note in _NOTES.items() if getattr(options, flag)])


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Start chat2llm and watch its processes until Ctrl-C.",
        epilog="Without a flag that names parts, everything is started.",
    )
    add = parser.add_argument
    add(
        "-i",
        "--lite",
        action="store_true",
        help="without local models: remote ones and the quoting answerer only",
    )
    add("-f", "--config", type=Path, metavar="FILE", help="ini file (default: configs/config.ini)")
    add("--host", help="address to listen on")
    add("--port", type=int, help="port to listen on")
    add("--workers", type=int, help="number of API processes")
    add(
        "-n",
        "--model-name",
        nargs="+",
        metavar="NAME",
        help="local models to start (default: all that are set up)",
    )
    add("-q", "--quiet", action="store_true", help="log warnings and errors only")
    add("--no-samples", action="store_true", help="without the sample knowledge base at the first start")
    parts = parser.add_argument_group("parts").add_argument
    parts("-a", "--all-webui", action="store_true", help="everything")
    parts("--all-api", action="store_true", help="everything")
    parts("--llm-api", action="store_true", help="API and local models, no worker")
    parts("-m", "--model-worker", action="store_true", help="local models")
    parts("--api", action="store_true", help="API and worker")
    parts("-w", "--webui", action="store_true", help="API and worker")
    parts("-o", "--openai-api", action="store_true", help="API")
    old = parser.add_argument_group("accepted, without a use here").add_argument
    old("-p", "--api-worker", action="store_true", help="models of vendors need no process of their own")
    old("-c", "--controller", metavar="ADDRESS", help="there is no controller")
    return parser
