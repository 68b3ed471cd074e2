"""One attempt that this process holds: the grant, its lease, and the orders to its handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.worker.orders import Orders
from penstock.worker.outlet import Facts

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from penstock.broker import Content, Grant
    from penstock.worker.reporter import Reporter
    from penstock.worker.signals import StopReason

__all__ = ["Attempt"]


class Attempt(Orders):
    """One grant, from the claim until its outcome is written. Lives in the event loop's thread.

    Attributes:
        grant: what was granted.
        admitted_s: monotonic time of its claim (s).
        renewed_s: monotonic time at which the last successful claim or renewal was sent (s). The
            heartbeat's thread writes it, and reads nothing else that changes.
        task: the task that runs it.
        on_stop: how to interrupt the handler; None while none runs.
        on_drain: how to tell a handler in another process that the worker is draining.
        reporter: of what the handler says; made when it first says something.
        lingering: of a thread that did not stop in time: done when it ends.
    """

    __slots__ = (
        "admitted_s",
        "grant",
        "lingering",
        "on_drain",
        "on_stop",
        "renewed_s",
        "reporter",
        "task",
    )

    def __init__(self, grant: Grant, renewed_s: float) -> None:
        super().__init__()
        self.grant = grant
        self.admitted_s = self.renewed_s = renewed_s
        self.task: asyncio.Task[None] | None = None
        self.on_stop: Callable[[], None] | None = None
        self.on_drain: Callable[[], None] | None = None
        self.reporter: Reporter | None = None
        self.lingering: asyncio.Future[Content] | None = None

    def stop(self, reason: StopReason) -> None:
        """Orders the handler to stop, and interrupts it if it runs. Later orders change nothing."""
        if self.order_stop(reason) and self.on_stop is not None:
            self.on_stop()

    def drain(self) -> None:
        """Lets the handler know that the worker is being shut down."""
        self.draining = True
        if self.on_drain is not None:
            self.on_drain()

    def facts(self) -> Facts:
        """What the handler's context tells."""
        grant = self.grant
        return Facts(
            job_id=grant.job_id,
            type=grant.type,
            queue=grant.queue,
            attempt=grant.attempt,
            max_attempts=grant.max_attempts,
            fencing_token=grant.fencing_token,
            deadline_ms=grant.deadline_ms,
            metadata=grant.metadata,
            checkpoint=grant.checkpoint,
            schedule_id=grant.schedule_id,
            occurrence_ms=grant.occurrence_ms,
            message=grant.message,
        )
