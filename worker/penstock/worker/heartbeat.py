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
        beats: set[asyncio.Task[None]] = set()
        try:
            while not stopping.is_set():
                next_s = time.monotonic() + self._interval_s
                # Nobody waits for it: where the server is far away, its answer comes after the next
                # beat, and counts all the same.
                beat = asyncio.create_task(self._beat(broker))
                beats.add(beat)
                beat.add_done_callback(beats.discard)
                await self._rest(stopping, next_s)
        finally:
            for beat in beats:
                beat.cancel()
            await asyncio.gather(*beats, return_exceptions=True)
            await broker.close()

    async def _rest(self, stopping: asyncio.Event, until_s: float) -> None:
        """Waits for the time of the next beat, and notices meanwhile which leases are lost."""
        while not stopping.is_set():
            self._give_up()
            now_s = time.monotonic()
            left_s = until_s - now_s
            if left_s <= 0:
                return
            pause_s = self._next_loss_s(self._roster.attempts(), now_s, left_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stopping.wait()

    async def _beat(self, broker: Broker) -> None:
        """Renews all leases once."""
        attempts = self._roster.attempts()
        if not attempts:
            return
        # Before the call, so that a lease is never taken for younger than it is.
        sent_s = time.monotonic()
        tokens = {attempt.grant.job_id: attempt.grant.fencing_token for attempt in attempts}
        try:
            answers = await broker.attempts.renew(tokens, budget_s=self._lost_after_s)
        except PenstockError as error:
            _log.warning("leases not renewed", leases=len(tokens), error=str(error))
        except Exception:  # noqa: BLE001 - a fault of ours must not cost every lease of the process.
            _log.exception("heartbeat failed")
        else:
            self._take(attempts, answers, sent_s)

    def _take(self, attempts: list[Attempt], answers: dict[str, Renewal], sent_s: float) -> None:
        """Takes the answers to a renewal that was sent at a time (s, monotonic)."""
        orders = []
        for attempt in attempts:
            match answers.get(attempt.grant.job_id):
                case None:
                    continue
                case Renewal.LOST:
                    orders.append((attempt, StopReason.LEASE_LOST))
                    continue
                case Renewal.CANCEL_REQUESTED:
                    orders.append((attempt, StopReason.CANCELLED))
            attempt.renewed_s = max(attempt.renewed_s, sent_s)
        self._give(orders)

    def _give_up(self) -> None:
        """Stops the handlers whose leases have not been renewed for too long."""
        now_s = time.monotonic()
        self._give(
            [
                (attempt, StopReason.UNREACHABLE)
                for attempt in self._roster.attempts()
                if now_s - attempt.renewed_s >= self._lost_after_s
            ]
        )

    def _next_loss_s(self, attempts: list[Attempt], now_s: float, at_most_s: float) -> float:
        """How long it is until the next lease is to be taken for lost, but for those past (s)."""
        ends = (attempt.renewed_s + self._lost_after_s - now_s for attempt in attempts)
        return min([at_most_s, *(left_s for left_s in ends if left_s > 0)])

    def _give(self, orders: list[tuple[Attempt, StopReason]]) -> None:
        if orders:
            self._call_home(_deliver, orders)

    def _call_home(self, callback: Callable[..., object], *args: object) -> None:
        """Calls back in the event loop of the process."""
        if self._home is not None:
            with suppress(RuntimeError):  # It is closed: the process ends.
                self._home.call_soon_threadsafe(callback, *args)


def _deliver(orders: list[tuple[Attempt, StopReason]]) -> None:
    for attempt, reason in orders:
        attempt.stop(reason)
