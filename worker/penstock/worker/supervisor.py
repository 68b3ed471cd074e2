"""Several worker processes under one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.runtime import SupervisedProcess, Supervisor, environment_of
from penstock.worker.drainer import WRITE_GRACE_S

if TYPE_CHECKING:
    from penstock.worker.settings import WorkerSettings

__all__ = ["supervisor_of"]


def supervisor_of(app: str, settings: WorkerSettings) -> Supervisor:
    """As many worker processes as the settings say.

    Args:
        app: Where to import the handlers from.
        settings: Of the processes.
    """
    environment = {**environment_of(settings), "PENSTOCK_PROCESSES": "1"}
    grace_s = settings.drain_grace_s + settings.stop_grace_s + WRITE_GRACE_S
    return Supervisor(
        [
            SupervisedProcess(
                f"worker process {number}",
                "penstock.worker.supervised",
                [app],
                environment=environment,
                grace_s=grace_s,
            )
            for number in range(1, settings.processes + 1)
        ]
    )
