"""``python -m penstock.worker.supervised module:app``: one process of several; see `supervisor`."""

from __future__ import annotations

import sys

from penstock.broker import PenstockError
from penstock.runtime import (
    RuntimeFault,
    configure_logging,
    run,
    stop_signals,
    stop_with_supervisor,
    tell_up,
)
from penstock.worker.app import load_app
from penstock.worker.service import WorkerService
from penstock.worker.settings import WorkerSettings


async def work(app: str, settings: WorkerSettings) -> None:
    """Works until the supervisor says so."""
    worker = load_app(app)
    async with stop_signals() as stopping:
        stop_with_supervisor(stopping)
        async with WorkerService(worker, settings):
            tell_up()
            await stopping.wait()


def main(app: str) -> str | None:
    """Runs it; returns what is wrong, if anything is."""
    try:
        settings = WorkerSettings.load()
        configure_logging(settings.log_level, settings.log_format)
        run(lambda: work(app, settings), event_loop=settings.event_loop)
    except (RuntimeFault, PenstockError) as fault:
        return f"penstock worker: {fault}"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
