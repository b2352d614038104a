"""Commands as an operator types them, each a process of its own that need not read the program first.

Reading it takes most of a second, and the tests give some two hundred commands. What is about the start itself, or about
what a shell does to inputs and outputs, starts `python -m server` anew.
"""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence

from tests.conftest import ROOT


def run_command(
    arguments: Sequence[str], environ: Mapping[str, str], text: str = ""
) -> subprocess.CompletedProcess[str]:
    """`python -m server …`, run to its end, with `text` as its input."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(text.encode())
        given.seek(0)
        order = json.dumps({"arguments": arguments, "environ": dict(environ)}).encode()
        orders = _forks()
        socket.send_fds(orders, [order], [given.fileno(), out.fileno(), err.fileno()])
        status = orders.recv(100)
        assert status, "the program that forks has ended"
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess(["server", *arguments], int(status), *said)


@functools.cache
def _forks() -> socket.socket:
    """To the program that forks; it lives as long as this process."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.command_forks", str(theirs.fileno())],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours
