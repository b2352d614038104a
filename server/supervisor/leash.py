"""`python -m server.supervisor.leash PID COMMAND…` becomes COMMAND, which ends when the process PID is gone (Linux)."""

import os
import sys

from server.core.processes import die_with_parent

# What shells use for a command that is not there.
NO_COMMAND = 127


def main(arguments: list[str]) -> None:
    die_with_parent()
    if os.getppid() != int(arguments[0]):
        sys.exit(1)  # gone before the kernel was asked
    try:
        os.execvp(arguments[1], arguments[1:])  # noqa: S606 (what the operator configured, without a shell)
    except OSError as error:
        print(f"{arguments[1]}: {error.strerror}", file=sys.stderr)
        sys.exit(NO_COMMAND)


if __name__ == "__main__":
    main(sys.argv[1:])
