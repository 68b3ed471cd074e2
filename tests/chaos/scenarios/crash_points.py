"""kill -9 at every point where a process has sent something to the server, or is about to."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import count
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import ids
from penstock.broker.keys import NamespaceKeys, Slot
from tests.chaos.link.sent import DIGESTS, CrashPoint, Listener
from tests.chaos.link.taps import Trap
from tests.chaos.load.every_call import CALLS_QUEUE, LIMITED_QUEUE, PATIENCE_S, EveryCall
from tests.chaos.load.plan import QUEUE
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import when
from tests.chaos.worlds.forkserver import ForkServer
from tests.chaos.worlds.world import World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from penstock.client import AsyncClient
    from tests.chaos.link.proxy import FaultProxy
    from tests.chaos.scenario import Run
    from tests.chaos.worlds.member import Member

__all__ = ["CrashPoints"]

#: Scripts that no run of some minutes sends, and why.
EXCEPTIONS: Final[Mapping[str, str]] = {
    "confirm": "it is sent where replicas are waited for, and leaves nothing that anybody reads",
    "drop": "it is sent by a process that has seen a slot empty for ten minutes, and no sooner",
}

#: All calls are listened to, to learn what is sent, until all scripts were seen; or so long (s).
HEARD_IN_S: Final = 400.0
#: For so long a process is left in peace between two restarts meanwhile (s). By chance, so that the
#: two processes do not fall into step; mostly longer than a nudge, or one would rarely run.
PEACE_S: Final = (3.0, 10.0)
#: Points of the short run; every further one costs a start of a process.
SHORT_RUN: Final = 28
#: What is sent now and then is sent within it (s).
REACHED_IN_S: Final = 120.0
#: Of the points, what a run may miss of those that come up seldom: on a slow machine, say.
MISSED_AT_MOST: Final = 0.05
#: After so long the process is restarted in peace, since it sends some things then alone (s).
NUDGE_AFTER_S: Final = 4.0
#: Between two further ones it is left in peace for ever longer, up to so long (s).
LONGEST_PEACE_S: Final = 10.0
#: For so long the other process is suspended once this one is at work: its part in keeping house
#: falls to this one (s).
ALONE_S: Final = 3.5
_LOOK_EVERY_S: Final = 0.02

_CALLS: Final = Slot(ids.namespace_code("default"), ids.queue_code("default", CALLS_QUEUE), 0)


class CrashPoints(Scenario):
    """A gateway or worker is killed (kill -9) just before a request of it reaches the server.

    Or just after the server has executed it, before the reply is read: for every script, and every
    command beside scripts, that gateways, workers and keepers of the house send. The list of points
    is made of what is sent while everything is asked for that can be, and of all scripts there are.
    """

    name: ClassVar = "crash_points"
    rows: ClassVar = (2, 7, 8)
    expects: ClassVar = (
        "at every point: a repeated call yields the same job, every job has one outcome, the "
        "checker and the audit of the data find nothing"
    )
    seconds: ClassVar = 90.0
    has_history: ClassVar = True

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        queues = f"{QUEUE},{CALLS_QUEUE},{LIMITED_QUEUE}"
        async with World(
            run,
            gateways=1,
            workers=1,
            clients=0,
            lease_s=1.0,
            worker_settings={"queues": queues, "drain_grace_s": 0},
            app="tests.chaos.handlers.every_call:app",
            crew=ForkServer,
        ) as world:
            nudging = asyncio.Lock()
            drivers = [
                _Driver("gateway", world.gateways[0], world.gateway_link, world, nudging),
                _Driver("worker", world.workers[0], world.worker_link, world, nudging),
            ]
            async with world.client(timeout=PATIENCE_S) as client:
                async with EveryCall(client, world.journal, run.result, world.redis) as calls:
                    expected, heard = DIGESTS.keys() - EXCEPTIONS.keys(), set[str]()
                    await asyncio.gather(*(driver.listen(expected, heard) for driver in drivers))
                    _expect_all(run, expected, heard)
                    await asyncio.gather(*(driver.crash_at_points() for driver in drivers))
                    run.say("waiting for the calls")
                    await calls.finish()
                await _drain(world, client)
            await world.finish()
        _judge(run, drivers)
        run.result.figures["calls repeated under their request id"] = str(calls.repeated)


class _Driver:
    """Kills one process at one point after the other, and replaces it.

    Args:
        role: of the process.
        member: the process.
        link: between it and the server.
        world: that it is of.
        nudging: held by the one driver that suspends the other's process.

    Attributes:
        points: all that there are.
        reached: points at which it was killed.
        missed: points that did not come up in time.
    """

    def __init__(
        self, role: str, member: Member, link: FaultProxy, world: World, nudging: asyncio.Lock
    ) -> None:
        self._run = world.run
        # Of its own: in which order the drivers draw is up to the machine.
        self._chance = random.Random(f"{world.run.seed}:{role}")  # noqa: S311 - no secret.
        self._nudging = nudging
        self._role = role
        self._member = member
        self._link = link
        self._world = world
        self.points: list[CrashPoint] = []
        self.reached = 0
        self.missed: list[str] = []

    async def listen(self, expected: AbstractSet[str], heard: set[str]) -> None:
        """Learns what the process sends, from its start to its end.

        Args:
            expected: is waited for, for a while.
            heard: of all processes so far.
        """
        listener = Listener()
        self._link.traps.append(listener)
        give_up_s = time.monotonic() + HEARD_IN_S
        for number in count():
            await self._nudge()
            await asyncio.sleep(self._chance.uniform(*PEACE_S))
            heard |= listener.heard
            if number and (expected <= heard or time.monotonic() > give_up_s):
                break
        self._link.traps.remove(listener)
        self.points = sorted(
            CrashPoint(self._role, sent, moment)
            for sent in listener.heard
            for moment in ("before", "after")
        )

    async def crash_at_points(self) -> None:
        """Goes through the points; in a short run, through some that are chosen by chance."""
        chosen = list(self.points)
        self._chance.shuffle(chosen)
        if self._run.scale < 2:
            chosen = chosen[: self._run.scaled(SHORT_RUN / 2)]
        for number, point in enumerate(chosen):
            self._run.say(f"{number + 1} of {len(chosen)}: {point}")
            await self._crash_at(point)
        await self._see_it_run()

    async def _crash_at(self, point: CrashPoint) -> None:
        tally = self._run.result.tally(f"the {self._role} is killed at a point", CrashPoints.rows)
        struck = asyncio.Event()

        def strike() -> None:
            self._member.kill()
            struck.set()

        trap = Trap(point.marker, 1, strike, point.moment)
        self._link.traps.append(trap)
        began_s = nudged_s = time.monotonic()
        patience_s = NUDGE_AFTER_S
        while not struck.is_set():
            now_s = time.monotonic()
            if now_s - began_s > REACHED_IN_S:
                self.missed.append(str(point))
                break
            if now_s - nudged_s > patience_s:
                await self._nudge()
                nudged_s = time.monotonic()
                patience_s = min(2 * patience_s, LONGEST_PEACE_S)  # The machine may be slow.
            await asyncio.sleep(_LOOK_EVERY_S)
        else:
            self.reached += 1
            tally.strikes += 1
        if trap in self._link.traps:
            self._link.traps.remove(trap)
        await self._see_it_run()

    async def _nudge(self) -> None:
        """Brings about what comes up seldom, and has this process alone keep house for a while."""
        other = self._world.workers[0] if self._role == "gateway" else self._world.gateways[0]
        async with self._nudging:
            other.pause()
            try:
                await self._world.redis("DEL", NamespaceKeys("default").walk())
                self._world.worker_link.lose_replies(1, DIGESTS["claim"])
                # The one is taken off by a walk, no schedule is stored for it; the other put back.
                entry = b"cut-short", b"1 %s" % CALLS_QUEUE.encode()
                await self._world.redis("HSET", NamespaceKeys("default").schedules(), *entry)
                await self._world.redis("ZPOPMAX", _CALLS.due())
                await self._restart()
                await self._see_it_work()
                await asyncio.sleep(ALONE_S)
            finally:
                other.resume()

    async def _restart(self) -> None:
        """In peace, if it is not killed meanwhile."""
        if self._member.alive:
            self._member.terminate()
            await self._member.stopped(PATIENCE_S)
        await self._see_it_run()

    async def _see_it_work(self) -> None:
        """Returns once it has sent something to the server, or was killed as it did."""
        listener = Listener()
        self._link.traps.append(listener)
        try:
            await when(
                lambda: listener.heard or not self._member.alive,
                f"the {self._role} sends something",
                PATIENCE_S,
            )
        finally:
            self._link.traps.remove(listener)

    async def _see_it_run(self) -> None:
        if not self._member.alive:
            self._member.start()


def _judge(run: Run, drivers: list[_Driver]) -> None:
    """Whether enough of the points came up."""
    known = sum(len(driver.points) for driver in drivers)
    reached = sum(driver.reached for driver in drivers)
    missed = [point for driver in drivers for point in driver.missed]
    run.result.figures["points"] = f"{reached} of {known} in this run"
    run.result.figures["points that did not come up in time"] = ", ".join(missed) or "none"
    run.result.expect(
        len(missed) <= MISSED_AT_MOST * (reached + len(missed)),
        "harness",
        f"{len(missed)} points did not come up: {', '.join(missed)}",
    )


def _expect_all(run: Run, expected: AbstractSet[str], heard: set[str]) -> None:
    missing = ", ".join(sorted(expected - heard))
    run.result.expect(not missing, "harness", f"no point covers these scripts: {missing}")
    run.result.figures["scripts"] = (
        f"{len(expected & heard)} of {len(DIGESTS)}, {len(EXCEPTIONS)} left out for a reason"
    )


async def _drain(world: World, client: AsyncClient) -> None:
    """Waits until calls have left nothing that is not ended, and forgets what is ended.

    What foreign hands took away is then accounted for, too.

    Some jobs are kept for a second only, and would vanish while the data are audited.
    """
    live: dict[str, int] = {}

    async def ended() -> bool:
        for queue in await client.queues():
            stats = await client.queue_stats(queue.name)
            live[queue.name] = sum(stats.waiting.values()) + stats.running + stats.scheduled
        adrift = await world.redis("HGET", _CALLS.base, "adrift")
        return not any(live.values()) and adrift in {None, b"0"}

    try:
        await when(ended, "all jobs have ended", PATIENCE_S)
    except AssertionError:
        left = f"jobs are left that do not come to an end: {live}"
        world.run.result.expect(None, "I1", left)
        return
    for name in live.keys() - {QUEUE}:
        await client.clean_queue(name, ("SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"))
