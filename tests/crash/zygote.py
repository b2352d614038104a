"""A program that has read all that the server reads, and forks its processes: a start takes a third of a second instead of two.

    python -m tests.crash.zygote FD

It is sent what to run as one line of JSON and answers with the process's id. `die_at`: the process ends at that step, see faults.py.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

import server.app
import server.worker
from server.cli import main
from tests.crash.faults import die_at

assert uvicorn
assert server.app
assert server.worker


def await_order(orders: socket.socket) -> None:
    """Returns in the process that is to be one of the server's."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    while True:
        message = orders.recv(2**16)
        if not message:
            os._exit(0)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            orders.close()
            order = json.loads(message)
            log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.clear()
            os.environ.update(order["environ"])
            sys.argv[1:] = order["arguments"]
            if order["die_at"]:
                die_at(Path(order["environ"]["SERVER__DATA_DIR"]), order["die_at"])
            return
        orders.send(str(child).encode())


if __name__ == "__main__":
    await_order(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(main())
