"""Serves a web application as a process of a run: ``python -m examples.harness.web MODULE:APP``.

It listens on loopback, on a port that is free (or the one of ``--port``), and prints its URL in a
line once it serves. It stops on SIGTERM, and when its standard input ends, as that of a child of a
run does with the run.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading

import uvicorn

__all__: list[str] = []


class _Announcing(uvicorn.Server):
    """A server that says when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"http://{host}:{port}", flush=True)


def main() -> None:
    """Serve until asked to stop."""
    parser = argparse.ArgumentParser(prog="python -m examples.harness.web")
    parser.add_argument("app", help="such as examples.opad.api:api")
    parser.add_argument("--port", type=int, default=0, help="0 is any that is free")
    arguments = parser.parse_args()
    with socket.create_server(("127.0.0.1", arguments.port)) as listener:
        config = uvicorn.Config(
            arguments.app, log_level="warning", timeout_graceful_shutdown=1, ws="none"
        )
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        _Announcing(config).run([listener])


def _stop_with_parent() -> None:
    """Ends this process when nobody holds the other end of its standard input any more."""
    if not sys.stdin.isatty():
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
