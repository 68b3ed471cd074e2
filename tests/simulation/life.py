"""One life of a service: who lives, what befalls them, and what must hold in the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import structlog

from penstock.broker import Broker, PenstockError
from tests.broker.audit import audit
from tests.simulation.actors import URL, Bells, GatewayActor, WorkerActor, in_place
from tests.simulation.callers import Caller, Watcher
from tests.simulation.clock import Clock, StandstillError, VirtualLoop, virtual_time
from tests.simulation.handlers import Handlers
from tests.simulation.messages import Publisher
from tests.simulation.schedules import Planner
from tests.simulation.trouble import Trouble
from tests.simulation.wire import Command, Network, Server
from tests.simulation.witness import ENDED, IDLE, PEEK, Witness

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from penstock.broker.pipeline import Reply
    from tests.chaos.result import Violation
    from tests.simulation.witness import Record

__all__ = ["Ending", "Life", "live"]

#: In quiet times a job with a free slot waits no longer than this, nor a due one (s): less than
#: anybody's poll, so that hints are seen to work.
PROMPT_S: Final = 0.8
#: For so long after the last trouble jobs may be under way (s).
SETTLED_WITHIN_S: Final = 900.0
#: In a crowded life so many jobs may wait in a slot.
MOST_WAITING: Final = 2
#: Once nothing befalls anybody any more, a dead worker's lease is taken back so soon after its end
#: (s): whoever watched it may have died, too, or begun anew.
TAKEN_BACK_WITHIN_S: Final = 15.0
#: For how many leases trouble goes on after the last call, at most.
TROUBLE_LEASES: Final = 20.0
#: The same where there are schedules, which make new jobs all the time.
ENDURED_LEASES: Final = 3.0
#: Longer than any job is kept, and for how long then one may still be there (s).
OUTLIVED_S: Final = 200_000.0
FORGOTTEN_WITHIN_S: Final = 120.0
#: What an audit finds here that is no fault: the key that scripts read the date from, and lives of
#: keys, which are read one after the other in real time.
_NO_FAULTS: Final = ("b'date'", "do not end together")


@dataclass
class Ending:
    """What came of a life.

    Attributes:
        seed: repeats it.
        violations: what must not be.
        steps: commands that were executed.
        seconds: that passed in it.
        jobs: that were made.
        scripts: how often each was executed.
        troubles: that befell it, by kind.
    """

    seed: int
    violations: list[Violation]
    steps: int
    seconds: float
    jobs: int
    scripts: Counter[str]
    troubles: Counter[str]


@dataclass
class Life:
    """Everybody in it, and what is chosen by its seed.

    Attributes:
        chance: decides everything.
        calm: nothing befalls anybody, and all jobs find a free slot.
        revived: workers are suspended all the time, until others have their jobs, and go on.
        planned: there are schedules.
        notes: there are topics.
        crowded: few jobs may wait.
        lease_s: of all workers.
    """

    seed: int
    clock: Clock
    network: Network
    bells: Bells
    witness: Witness
    gateways: list[GatewayActor] = field(default_factory=list)
    workers: list[WorkerActor] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Not the generator of the module, from which the product takes its jitter.
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret.
        chance = self.chance
        self.calm = self.seed % 5 == 0
        self.revived = self.seed % 5 in {1, 2}
        self.planned = self.seed % 7 in {1, 4}
        self.notes = self.seed % 7 in {4, 5}
        self.crowded = self.seed % 7 in {2, 5}
        self.lease_s = 1.0 if self.revived else chance.choice([1.0, 2.0, 10.0])
        busy = self.planned or self.notes
        self.slots = (32 if busy else 8) if self.calm else chance.randint(1, 3)
        self.partitions = chance.choice([1, 1, 2])
        self.witness.most_waiting = MOST_WAITING if self.crowded else 0
        self.witness.occurrences.calm = self.calm
        self.handlers = Handlers(
            chance, self.witness, self.lease_s, calm=self.calm, notes=self.notes
        )
        self.trouble = Trouble(self)
        self._names: Counter[str] = Counter()
        self._queued_at_s: dict[str, float] = {}
        self.network.slowness_s = 0.0005 if self.calm else chance.choice([0.0005, 0.005, 0.05])
        self.bells.loss = 0.0 if self.calm else chance.choice([0.0, 0.1, 0.5])

    # Who lives.

    def new_gateway(self) -> GatewayActor:
        """One more gateway."""
        gateway = GatewayActor(
            self.network,
            self.bells,
            self._name("gateway"),
            partitions=self.partitions,
            most_waiting=self.witness.most_waiting * self.partitions,
        )
        self.gateways.append(gateway)
        return gateway.start()

    def new_worker(self) -> WorkerActor:
        """One more worker."""
        worker = WorkerActor(
            self.network,
            self._name("worker"),
            self.handlers.app(self.slots),
            {
                "lease_s": self.lease_s,
                "partitions": self.partitions,
                "drain_grace_s": self.chance.choice([0.0, 1.0]),
            },
        )
        self.workers.append(worker)
        return worker.start()

    def any_gateway(self) -> GatewayActor:
        """Whom a caller happens to reach."""
        return self.chance.choice(self.gateways)

    def _name(self, kind: str) -> str:
        self._names[kind] += 1
        return f"{kind}-{self._names[kind]}"

    # How it goes.

    async def run_until_violated(self) -> None:
        """From birth to the last check, or to the first violation."""
        whole = asyncio.create_task(self.run())
        violated = asyncio.create_task(self.witness.violated.wait())
        await asyncio.wait({whole, violated}, return_when=asyncio.FIRST_COMPLETED)
        if whole.done():
            whole.result()

    async def run(self) -> None:
        """From birth to the last check."""
        self.witness.on_change = self._changed
        for _ in range(2):
            self.new_gateway()
        for _ in range(self.chance.randint(2, 3)):
            self.new_worker()
        for each in [*self.gateways, *self.workers]:
            await asyncio.wait_for(each.ready.wait(), 60)
        callers = [Caller(self, f"caller-{number}") for number in range(2)]
        watchers: list[Watcher] = []
        for caller in callers:
            caller.watchers = watchers
        planners = [Planner(self, f"s{number}") for number in range(2 if self.planned else 0)]
        publishers = [Publisher(self) for _ in range(self.notes)]
        everybody: list[Caller | Planner | Publisher] = [*callers, *planners, *publishers]
        trouble = asyncio.create_task(self.trouble.brew())
        await asyncio.gather(*(each.run() for each in everybody))
        leases = TROUBLE_LEASES if self.revived else self.chance.uniform(0.0, TROUBLE_LEASES)
        # A schedule would have it go on for as long as it may.
        leases = min(leases, ENDURED_LEASES) if self.planned else leases
        await self._endure(leases * self.lease_s)
        trouble.cancel()
        await asyncio.wait([trouble])
        await self.trouble.heal()
        await self._fire()
        for planner in planners:
            await planner.delete()
        await self._settle()
        for watcher in watchers:
            await watcher.finish()
        if self.seed % 4 == 1:
            await self._outlive()
        await self._check(everybody)

    async def _endure(self, for_s: float) -> None:
        """Trouble goes on, though nobody calls any more, for as long as there are jobs."""
        until_s = self.clock.now_s + for_s
        while self._under_way() and self.clock.now_s < until_s:  # noqa: ASYNC110 - no time passes.
            await asyncio.sleep(0.1)

    async def _fire(self) -> None:
        """Waits until no schedule is left alone with an occurrence that is due."""
        seen = self.witness.occurrences
        waited_for = {
            tail: fields["nx"] for tail, fields in seen.schedules.items() if "nx" in fields
        }
        give_up_s = self.clock.now_s + SETTLED_WITHIN_S
        while waited_for:
            waited_for = {
                tail: next_ms
                for tail, next_ms in waited_for.items()
                if seen.schedules.get(tail, {}).get("nx") == next_ms
                and int(next_ms) <= self.clock.server_ms
            }
            if self.clock.now_s > give_up_s:
                self.witness.expect(False, "occurrence", f"never fired: {waited_for}")  # noqa: FBT003
                return
            await asyncio.sleep(0.5)

    async def _settle(self) -> None:
        """Waits for the last job to end. Nobody holds one for long who does not renew its lease."""
        healed_s = self.clock.now_s
        give_up_s = healed_s + SETTLED_WITHIN_S
        fewest = len(self.witness.jobs)
        while under_way := self._under_way():
            for tail in under_way:
                self._check_lease(tail, healed_s)
            if len(under_way) < fewest:  # A schedule may have had much to catch up with.
                fewest, give_up_s = len(under_way), self.clock.now_s + SETTLED_WITHIN_S
            if self.clock.now_s > give_up_s:
                for tail in under_way:
                    record = self.witness.jobs[tail].record
                    self.witness.expect(False, "I1", f"{tail}: stays for ever: {record}")  # noqa: FBT003
                return
            await asyncio.sleep(0.5)

    def _check_lease(self, tail: str, healed_s: float) -> None:
        seen = self.witness.jobs[tail]
        if seen.lease is None:
            return
        stands_s = self.clock.now_s - max(healed_s, self.witness.moved_at_s.get(tail, healed_s))
        self.witness.expect(
            stands_s <= self.lease_s + TAKEN_BACK_WITHIN_S,
            "lease",
            f"{tail}: nobody has renewed its lease for {stands_s:.1f} s, nor taken it back",
        )

    async def _outlive(self) -> None:
        """Time passes until everything may be forgotten."""
        self.clock.jumped_s += OUTLIVED_S
        give_up_s = self.clock.now_s + FORGOTTEN_WITHIN_S
        while self.witness.jobs and self.clock.now_s < give_up_s:  # noqa: ASYNC110 - no time passes.
            await asyncio.sleep(1.0)
        left = sorted(self.witness.jobs)
        self.witness.expect(not left, "I10", f"never forgotten: {left}")

    def _under_way(self) -> list[str]:
        jobs = self.witness.jobs.items()
        return [tail for tail, seen in jobs if seen.record.get("s", b"").decode() not in ENDED]

    async def _check(self, everybody: Sequence[Caller | Planner | Publisher]) -> None:
        for each in everybody:
            each.check()
        self.handlers.check(self.witness)
        for actor in (*self.gateways, *self.workers):
            actor.kill()
        # Before any retention is over: what is past it may be gone from one place, and not yet from
        # another.
        self.clock.jumped_s = -1e7
        async with Broker(URL) as broker:
            for fault in await audit(broker):
                if not any(sign in fault for sign in _NO_FAULTS):
                    self.witness.expect(False, "audit", fault)  # noqa: FBT003

    def _changed(self, tail: str, record: Record) -> None:
        """The witness saw a change."""
        self.bells.wake(tail)
        if not self.calm:
            return
        state, now_s = record.get("s", b""), self.clock.now_s
        if state == b"Q":
            self._queued_at_s.setdefault(tail, now_s)
        elif tail in self._queued_at_s:
            waited_s = now_s - self._queued_at_s.pop(tail)
            self.witness.expect(
                state != b"R" or waited_s <= PROMPT_S,
                "prompt",
                f"{tail}: waited {waited_s:.2f} s for one of the free slots",
            )
        if state == b"Q" and "du" in record:
            late_s = (self.clock.server_ms - int(record["du"])) / 1000
            self.witness.expect(
                now_s != self._queued_at_s[tail] or late_s <= PROMPT_S,
                "prompt",
                f"{tail}: queued {late_s:.2f} s after it was due",
            )


def live(path: Path, seed: int) -> Ending:
    """Lives one life, on the server at a unix socket, whose data it removes."""
    clock = Clock()
    server = Server(path, clock, PEEK, IDLE)
    loop = VirtualLoop(clock)
    loop.set_exception_handler(lambda _loop, _context: None)
    random.seed(seed)
    chance = random.Random(seed + 1)  # noqa: S311 - no secret.
    witness = Witness(clock)

    def executed(command: Command, script: str, reply: Reply, peeked: Reply) -> None:
        witness.executed(command, script, reply, peeked)
        bells.executed(command, script, reply)

    network = Network(server, chance, executed)
    bells = Bells(network, chance, loss=0.0)
    # Ids are drawn from the seed, too.
    draw = mock.patch.object(secrets, "token_hex", lambda size: chance.randbytes(size).hex())
    replaced = virtual_time(clock), in_place(network, bells), draw, _quiet()
    with contextlib.ExitStack() as stack:
        for each in replaced:
            stack.enter_context(each)
        stack.callback(server.close)
        life = Life(seed, clock, network, bells, witness)
        began_s = clock.now_s
        try:
            loop.run_until_complete(life.run_until_violated())
        except (StandstillError, TimeoutError, PenstockError, AssertionError) as error:
            witness.expect(False, "life", f"{type(error).__name__}: {error}")  # noqa: FBT003
        finally:
            seconds = clock.now_s - began_s
            _bury(loop, life)
    return Ending(
        seed,
        witness.violations,
        witness.steps,
        seconds,
        len(witness.jobs) + len(witness.gone),
        witness.scripts,
        life.trouble.counts,
    )


async def _let_go(life: Life) -> None:
    for actor in (*life.gateways, *life.workers, *life.trouble.dead):
        actor.process.bury()


def _bury(loop: VirtualLoop, life: Life) -> None:
    """Ends all tasks, of the dead, too."""
    for actor in (*life.gateways, *life.workers, *life.trouble.dead):
        actor.process.kill()
    for link in list(life.network.links):
        link.abandon()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(_let_go(life))
    for _ in range(10):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        with contextlib.suppress(StandstillError):
            loop.run_until_complete(asyncio.wait(tasks, timeout=60.0))
    loop.close()


@contextlib.contextmanager
def _quiet() -> Any:  # noqa: ANN401 - a generator for the decorator.
    """Thousands of lives have much to tell, of which nobody wants to hear."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    configured = structlog.get_config()
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        structlog.configure(**configured)
        logging.disable(before)
