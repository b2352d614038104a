"""llama.cpp's server in a process of its own, from the wheel `xllamacpp`: `[llm.NAME] engine = llama.cpp`.

It speaks OpenAI's protocol on 127.0.0.1; the api key comes as the first line of stdin. The port, or else why there is none, is told
in a pipe of its own: llama.cpp's threads write to stdout and stderr, into the middle of each other's lines and after the last.
"""

import argparse
import os
import sys
import threading
from pathlib import Path

from server.core.processes import die_with_parent

# Exit status: trying again will not help.
HOPELESS = 3
# Bytes of prompts that are kept for the next question of the same conversation.
_PROMPT_CACHE_MIB = 512


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    die_with_parent()
    key = sys.stdin.readline().strip()
    try:
        import xllamacpp
    except ImportError as error:
        _tell(options.report, f"xllamacpp cannot be loaded: {error} (libgomp is Debian's package libgomp1)")
        return HOPELESS

    params = xllamacpp.CommonParams()
    params.model.path = str(options.model)
    params.model_alias = {options.alias}
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], options.port, [key]
    # Each of those who ask at the same time has the whole context.
    params.n_ctx, params.n_parallel = options.context * options.parallel, options.parallel
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads or os.cpu_count()
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.ui = params.endpoint_slots = params.endpoint_props = False
    params.offline = True
    try:
        server = xllamacpp.Server(params)
    except RuntimeError:
        _tell(
            options.report, f"llama.cpp cannot load {options.model}; is it a whole GGUF file that it knows?"
        )
        return HOPELESS
    _tell(options.report, server.listening_address.rpartition(":")[2])
    threading.Event().wait()  # until SIGTERM, which needs no goodbye
    return 0


def _tell(pipe: int, words: str) -> None:
    with os.fdopen(pipe, "w", encoding="utf-8", errors="replace") as report:
        report.write(words)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server.supervisor.llama_cpp")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--alias", required=True)
    for name in ("--port", "--context", "--parallel", "--threads", "--report"):
        parser.add_argument(name, type=int, required=True)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
