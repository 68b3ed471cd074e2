"""``python -m penstock.worker module:app``: the worker without the command line's comforts."""

from __future__ import annotations

import sys

from penstock.broker import PenstockError
from penstock.runtime import RuntimeFault, configure_logging, run
from penstock.worker.service import serve
from penstock.worker.settings import WorkerSettings


def main(arguments: list[str]) -> str | int:
    """Runs it; returns what the process is to exit with. Settings come from the environment."""
    if len(arguments) != 1:
        return "usage: python -m penstock.worker module:app"
    try:
        settings = WorkerSettings.load()
        configure_logging(settings.log_level, settings.log_format)
        run(lambda: serve(arguments[0], settings), event_loop=settings.event_loop)
    except (RuntimeFault, PenstockError) as fault:
        return f"penstock worker: {fault}"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
