"""The processes of the demonstration: Valkey, a gateway and two workers, all of them real."""

from __future__ import annotations

from typing import Final, Self

from examples.harness.stack import Stack

__all__ = ["LEASE_S", "QUEUE", "WORKERS", "DemoStack"]

LEASE_S: Final = 3.0
"""Short, so that the wait for the job of a killed worker can be sat through."""

QUEUE: Final = "demo"
WORKERS: Final = 2

_SLOTS: Final = 6


class DemoStack(Stack):
    """Everything that the demonstration runs.

    Args:
        keep_data: Whether to leave the folder with all that is in it.

    Attributes:
        worker_pids: Of the workers that were started.
    """

    def __init__(self, *, keep_data: bool = False) -> None:
        super().__init__("demo", {"PENSTOCK_LEASE_S": str(LEASE_S)}, keep_data=keep_data)
        self.worker_pids: list[int] = []

    def __enter__(self) -> Self:
        super().__enter__()
        arguments = ["--queue", QUEUE, "--slots", str(_SLOTS)]
        for number in range(1, WORKERS + 1):
            worker = self.start_worker(f"worker-{number}", "examples.demo.handlers:app", *arguments)
            self.worker_pids.append(worker.pid)
        return self
