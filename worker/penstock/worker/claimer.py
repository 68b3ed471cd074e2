"""Claims jobs for free slots: at once while there are some, else when the bell rings."""

from __future__ import annotations

import math
import random
import time
from itertools import cycle
from typing import TYPE_CHECKING, Final

import structlog

from penstock.broker import ConnectionLost, PenstockError, Unavailable
from penstock.runtime import Component

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.broker import Broker
    from penstock.broker.keys import Slot
    from penstock.worker.roster import Roster
    from penstock.worker.runner import Runner
    from penstock.worker.settings import WorkerSettings

__all__ = ["Claimer"]

#: A lost ring costs no more than this (s); spread, so that idle workers do not poll together.
POLL_S: Final = (1.0, 2.0)
#: While jobs abound, a claim waits for so large a part of the slots to be free, but not for long.
BATCH_OF_SLOTS: Final = 0.25
LINGER_S: Final = 0.005
#: The guard against starvation: of twenty claims that find jobs, one each begins lower down.
ORDERS: Final = (*["hdl"] * 9, "dhl", *["hdl"] * 9, "lhd")
#: Jobs that one claim grants at most.
CLAIM_AT_MOST: Final = 100
PAUSE_AFTER_ERROR_S: Final = 0.5

_log: Final = structlog.get_logger(__name__)


class Claimer(Component):
    """The one who takes jobs on. It never claims more than there are free slots.

    Args:
        broker: on a connection of its own, since payloads come through it.
        worker_id: who claims.
        queues: names of the queues to serve.
        settings: the length of a lease, and how many crashes quarantine a job.
        roster: the slots.
        runner: who runs what is claimed.
    """

    def __init__(  # noqa: PLR0917 - each has its place, and its own type.
        self,
        broker: Broker,
        worker_id: str,
        queues: Sequence[str],
        settings: WorkerSettings,
        roster: Roster,
        runner: Runner,
    ) -> None:
        super().__init__(name="claimer")
        self._broker = broker
        self._worker_id = worker_id
        self._queues = tuple(queues)
        self._lease_ms = round(settings.lease_s * 1000)
        self._max_crashes = settings.max_crashes
        self._roster = roster
        self._runner = runner
        self._places: list[Slot] = []
        self._codes: list[str] = []
        self._turn = 0
        self._orders: Iterator[str] = cycle(ORDERS)
        self._order = next(self._orders)
        self._hints: dict[Slot, None] = {}
        self._disown: set[Slot] = set()
        self._batch = max(1, math.ceil(roster.slots * BATCH_OF_SLOTS))

    def hint(self, queue_code: str, partition: int) -> None:
        """Says where there is a job."""
        self._hints[self._broker.engine.slot(queue_code, partition)] = None
        self.wake()

    async def setup(self) -> None:
        """Looks the queues up, or creates them."""
        engine = self._broker.engine
        for name in self._queues:
            queue = await engine.ensure_queue(name)
            self._codes.append(queue.code)
            self._places += engine.slots(queue)

    async def run(self) -> None:
        """Claims until stopped."""
        plenty = False
        while not self.stopping.is_set():
            try:
                await self._await_room(plenty=plenty)
                plenty = await self._sweep()
                if plenty or not self._roster.free:
                    continue
                await self._broker.doorbell.idle(self._worker_id, self._codes)
                # What was queued before that call rang for nobody.
                plenty = await self._sweep()
                if not plenty and not self._hints:
                    await self.pause(random.uniform(*POLL_S))  # noqa: S311 - spread, no secret.
            except PenstockError as error:
                plenty = False
                await self._sit_out(error)

    async def teardown(self) -> None:
        """Leaves the doorbell."""
        self._broker.doorbell.leave(self._worker_id, self._codes)

    async def _await_room(self, *, plenty: bool) -> None:
        """Returns when there are free slots; while jobs abound, when it is worth a claim."""
        roster = self._roster
        while not roster.free and not self.stopping.is_set():
            roster.call_when_free(1, self.wake)
            await self.pause(POLL_S[1])
        if plenty and roster.free < self._batch:
            roster.call_when_free(self._batch, self.wake)
            await self.pause(LINGER_S)

    async def _sweep(self) -> bool:
        """Claims from one partition after the other. Returns whether more may be waiting."""
        roster = self._roster
        for place in self._round():
            drained = False
            while not drained:
                if self.stopping.is_set() or not roster.free:
                    return True
                drained = await self._claim(place, min(roster.free, CLAIM_AT_MOST))
        return False

    def _round(self) -> list[Slot]:
        """The partitions in the order to visit them: where a hint leads, then in turn."""
        hinted, self._hints = self._hints, {}
        self._turn = (self._turn + 1) % len(self._places)
        places = self._places[self._turn :] + self._places[: self._turn]
        return [*hinted, *(place for place in places if place not in hinted)] if hinted else places

    async def _claim(self, place: Slot, wanted: int) -> bool:
        """Claims from one partition. Returns whether it had fewer jobs than wanted."""
        if place in self._disown:
            await self._hand_back(place)
        # Before the call, so that a lease is never taken for younger than it is.
        now_s = time.monotonic()
        try:
            grants = await self._broker.attempts.claim(
                place,
                self._worker_id,
                wanted,
                self._lease_ms,
                self._order,
                max_crashes=self._max_crashes,
            )
        except ConnectionLost as error:
            if error.maybe_executed:
                self._disown.add(place)
            raise
        for grant in grants:
            self._runner.launch(self._roster.admit(grant, now_s))
        if grants:
            self._order = next(self._orders)
        return len(grants) < wanted

    async def _hand_back(self, place: Slot) -> None:
        """Gives up what a reply that never came may have granted. No claim is under way."""
        held = self._roster.held_in(place.job_id(""))
        count = await self._broker.attempts.disown(place, self._worker_id, held)
        self._disown.discard(place)
        if count:
            _log.warning("handed back grants whose reply was lost", jobs=count)

    async def _sit_out(self, error: PenstockError) -> None:
        """Waits until another try is worth while."""
        if not isinstance(error, Unavailable):
            _log.warning("cannot claim", error=str(error))
        await self.pause(PAUSE_AFTER_ERROR_S)
