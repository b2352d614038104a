"""`python -m tests.crash --rounds 200 --seed N`: T-crashloop. Without a seed it draws one and says it."""

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.crash.load import Violation
from tests.crash.loop import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    sys.stdout.write(f"seed {options.seed}\n")
    with tempfile.TemporaryDirectory() as folder:
        try:
            asyncio.run(run(Path(folder), options.rounds, options.seed))
        except Violation as error:
            sys.stderr.write(f"{error}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
