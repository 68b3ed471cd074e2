"""Renews the leases, in a thread and on a connection of its own: no handler can delay it."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from penstock.broker import Broker, PenstockError, Renewal
from penstock.worker.signals import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.worker.attempt import Attempt
    from penstock.worker.roster import Roster
    from penstock.worker.settings import WorkerSettings

__all__ = ["Heartbeat"]

#: Leases are renewed at this part of their length.
RENEW_AT: Final = 0.25
#: At this part without a renewal, a lease is taken for lost: the rest is for the handler to stop.
LOST_AT: Final = 0.75

_log: Final = structlog.get_logger(__name__)


class Heartbeat:
    """Renews, and passes on what the answers say: cancels and lost leases.

    Args:
        settings: of the server, and the length of a lease.
        roster: whose leases.
    """

    def __init__(self, settings: WorkerSettings, roster: Roster) -> None:
        self._url = settings.server_url()
        self._options = settings.broker_options("heartbeat")
        self._interval_s = settings.lease_s * RENEW_AT
        self._lost_after_s = settings.lease_s * LOST_AT
        self._roster = roster
        self._home: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] | None = None

    async def start(self) -> None:
        """Begins to renew."""
        self._home = asyncio.get_running_loop()
        running = self._home.create_future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(running)), name="penstock-heartbeat", daemon=True
        )
        self._thread.start()
        self._stop = await running

    async def stop(self) -> None:
        """Ends the thread."""
        if self._stop is not None and self._thread is not None:
            self._stop()
            await asyncio.to_thread(self._thread.join)
            self._stop = self._thread = None

    # In the thread:

    async def _run(self, running: asyncio.Future[Callable[[], None]]) -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        self._call_home(running.set_result, partial(loop.call_soon_threadsafe, stopping.set))
        broker = Broker(self._url, self._options)
        broker.start()
        try:
            while not stopping.is_set():
                next_s = time.monotonic() + self._interval_s
                try:
                    await self._beat(broker)
                except Exception:  # noqa: BLE001 - a fault of ours must not cost every lease of the process.
                    _log.exception("heartbeat failed")
                with suppress(TimeoutError):
                    async with asyncio.timeout(next_s - time.monotonic()):
                        await stopping.wait()
        finally:
            await broker.close()

    async def _beat(self, broker: Broker) -> None:
        """Renews all leases once."""
        attempts = self._roster.attempts()
        if not attempts:
            return
        # Before the call, so that a lease is never taken for younger than it is.
        sent_s = time.monotonic()
        tokens = {attempt.grant.job_id: attempt.grant.fencing_token for attempt in attempts}
        answers: dict[str, Renewal] = {}
        try:
            answers = await broker.attempts.renew(tokens, budget_s=self._interval_s)
        except PenstockError as error:
            _log.warning("leases not renewed", leases=len(tokens), error=str(error))
        orders = []
        for attempt in attempts:
            reason = self._judge(attempt, answers.get(attempt.grant.job_id), sent_s)
            if reason is not None:
                orders.append((attempt, reason))
        if orders:
            self._call_home(_deliver, orders)

    def _judge(self, attempt: Attempt, answer: Renewal | None, sent_s: float) -> StopReason | None:
        """Whether the attempt is to stop, after an answer or for want of one."""
        if answer is Renewal.LOST:
            return StopReason.LEASE_LOST
        if answer is not None:
            attempt.renewed_s = sent_s
            return StopReason.CANCELLED if answer is Renewal.CANCEL_REQUESTED else None
        silent_s = time.monotonic() - attempt.renewed_s
        return StopReason.UNREACHABLE if silent_s >= self._lost_after_s else None

    def _call_home(self, callback: Callable[..., object], *args: object) -> None:
        """Calls back in the event loop of the process."""
        if self._home is not None:
            with suppress(RuntimeError):  # It is closed: the process ends.
                self._home.call_soon_threadsafe(callback, *args)


def _deliver(orders: list[tuple[Attempt, StopReason]]) -> None:
    for attempt, reason in orders:
        attempt.stop(reason)
