"""The doorbell: how an idle worker learns at once that there is a job, or a cancel, for it.

Each worker process blocks on one list of its own, its bell, over a connection of its own, and
nowhere else. A hint is either ``queue-code:partition`` (look there) or ``!job-id`` (a cancel is
requested). Hints are only hints: a lost one costs a poll interval or a renewal.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.errors import ReplyError
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Iterable

    from penstock.broker.keys import Slot
    from penstock.broker.script import Script

IDLE = load_script("idle")
RING = load_script("ring")
KNOCK = load_script("knock")

CANCEL_MARK: Final = "!"
#: Shortest pause between two rings of one process for one slot (s).
RING_EVERY_S: Final = 0.001
#: A worker that has not said for so long that it is idle is taken for dead. Workers repeat it at
#: every poll (1 to 2 s).
IDLE_FOR_MS: Final = 4_000
BELL_TTL_MS: Final = 60_000


class Doorbell:
    """Rings for jobs and cancels; tells who is idle."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Slots that rang within the last RING_EVERY_S, with the jobs that came since.
        self._unrung: dict[Slot, int] = {}

    def ring_soon(self, slot: Slot) -> None:
        """As `ring` for one job: at once, but at high rates once for all jobs of a moment."""
        if slot in self._unrung:
            self._unrung[slot] += 1
        else:
            self._ring_and_rest(slot, 1)

    def _ring_and_rest(self, slot: Slot, jobs: int) -> None:
        self.ring(slot, jobs)
        self._unrung[slot] = 0
        asyncio.get_running_loop().call_later(RING_EVERY_S, self._ring_again, slot)

    def _ring_again(self, slot: Slot) -> None:
        jobs = self._unrung.pop(slot)
        if jobs:
            self._ring_and_rest(slot, jobs)

    def ring(self, slot: Slot, jobs: int) -> None:
        """Wakes about one idle worker per job, without waiting for it."""
        names = self._engine.names
        flight = self._engine.link.call(
            b"EVALSHA",
            RING.sha1,
            2,
            names.base,
            names.idle(slot.queue_code),
            jobs,
            f"{slot.queue_code}:{slot.partition}",
            IDLE_FOR_MS,
        )
        flight.add_done_callback(partial(self._rang, RING))

    def tell_cancel(self, worker_id: str, job_id: str) -> None:
        """Tells a worker that a cancel is requested, without waiting for it."""
        bell = self._engine.names.bell(worker_id)
        flight = self._engine.link.call(
            b"EVALSHA", KNOCK.sha1, 1, bell, CANCEL_MARK + job_id, BELL_TTL_MS
        )
        flight.add_done_callback(partial(self._rang, KNOCK))

    async def idle(
        self, worker_id: str, queue_codes: Iterable[str], budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        """Says that a worker has free slots. It must look for jobs once more after this."""
        names = self._engine.names
        keys = [names.bell(worker_id), *(names.idle(code) for code in queue_codes)]
        await self._engine.run(IDLE, keys, worker_id, budget_s=budget_s)

    def leave(self, worker_id: str, queue_codes: Iterable[str]) -> None:
        """Takes a worker that claims no more off the lists, so that no ring is wasted on it."""
        names = self._engine.names
        for code in queue_codes:
            self._engine.link.send("ZREM", names.idle(code), worker_id)

    def _rang(self, script: Script, flight: Future[object]) -> None:
        """Nobody waits for a ring; but a server that forgot the script must learn it again."""
        error = None if flight.cancelled() else flight.exception()
        if isinstance(error, ReplyError) and error.code == "NOSCRIPT":
            self._engine.link.send(b"SCRIPT", b"LOAD", script.source)
