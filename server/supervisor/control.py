"""The supervisor's end of core/engines.py: tells the state of the engines, and takes orders to start and stop them."""

import json
import logging
import os
import socketserver
import threading
from collections.abc import Mapping
from pathlib import Path

from server.core.engines import MAX_LINE, private_folder
from server.supervisor.engines import Engine

log = logging.getLogger(__name__)
_PATIENCE = 10  # seconds for a request of one line


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64


def serve_orders(path: Path, engines: Mapping[str, Engine]) -> None:
    """Answer on the socket from a thread of its own, until the process ends. Raises OSError."""

    class Conversation(socketserver.StreamRequestHandler):
        timeout = _PATIENCE

        def handle(self) -> None:
            try:
                request = json.loads(self.rfile.readline(MAX_LINE))
                engine = engines.get(request["name"])
                if engine is not None and request["order"] in ("start", "stop"):
                    engine.order(wanted=request["order"] == "start")
                states = {name: engine.state().to_json() for name, engine in engines.items()}
                self.wfile.write(json.dumps({"engines": states}).encode() + b"\n")
            except (
                OSError,
                ValueError,
                KeyError,
                TypeError,
            ) as error:  # gone, or does not speak our language
                log.warning("an order could not be read: %s", type(error).__name__)

    private_folder(path.parent, create=True)
    path.unlink(missing_ok=True)
    old = os.umask(0o177)
    try:
        server = _Server(str(path), Conversation)
    finally:
        os.umask(old)
    threading.Thread(target=server.serve_forever, daemon=True).start()
