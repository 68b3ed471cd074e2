"""``python -m penstock.server.supervised``: one process of several; see `gateways`."""

from __future__ import annotations

import sys

from penstock.broker import UnsafeServer
from penstock.runtime import (
    RuntimeFault,
    configure_logging,
    run,
    stop_signals,
    stop_with_supervisor,
    tell_fault,
    tell_up,
)
from penstock.server.gateway import Gateway
from penstock.server.settings import ServerSettings


async def work(settings: ServerSettings) -> None:
    """Serves until the supervisor says so."""
    async with stop_signals() as stopping:
        stop_with_supervisor(stopping)
        async with Gateway(settings, share_port=True):
            tell_up()
            await stopping.wait()


def main() -> int:
    """Runs it; returns the exit code."""
    try:
        settings = ServerSettings.load()
        configure_logging(settings.log_level, settings.log_format)
        run(lambda: work(settings), event_loop=settings.event_loop)
    except (RuntimeFault, UnsafeServer) as fault:
        tell_fault(str(fault))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
