"""A program that has read all that `python -m server` reads, and forks for every command that it is sent.

See `run_command` in commands.py, which speaks to it.
"""

import gc
import json
import os
import socket
import sys

from server.cli import load_commands, main


def await_command(orders: socket.socket) -> None:
    """Returns in the process of a command, whose arguments, environment, input and outputs are in place."""
    while True:
        message, files, _, _ = socket.recv_fds(orders, 2**18, 3)
        if not message:
            os._exit(0)
        child = os.fork()
        if child == 0:
            orders.close()
            for place, file in enumerate(files):
                os.dup2(file, place)
                os.close(file)
            order = json.loads(message)
            os.environ.clear()
            os.environ.update(order["environ"])
            sys.argv[1:] = order["arguments"]
            return
        for file in files:
            os.close(file)
        orders.send(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())


if __name__ == "__main__":
    load_commands()
    # Nor is what was read walked through and taken apart by each command.
    gc.collect()
    gc.freeze()
    await_command(socket.socket(fileno=int(sys.argv[1])))
    try:
        status = main()
    except SystemExit as end:  # of argparse
        status = end.code if isinstance(end.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
