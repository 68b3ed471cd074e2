"""Power cuts, at each level of durability: what is lost, how old it is, and what comes after."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, Literal

from penstock.client import Durability, SubmitOutcome
from tests.chaos.checks import expect_rising_tokens
from tests.chaos.load.steady import Load
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.small import SmallWorld

if TYPE_CHECKING:
    from tests.chaos.load.steady import Ack
    from tests.chaos.scenario import Run

__all__ = ["PowerCut"]

#: By what the server's configuration says.
LEVELS: Final[dict[Literal["no", "everysec", "always"], Durability]] = {
    "no": Durability.NONE,
    "everysec": Durability.EVERYSEC,
    "always": Durability.ALWAYS,
}
#: What `everysec` may lose beside what is written while two fsyncs run, of which the second ends
#: too late: an fsync begins each second, and the server waits up to 2 s for one under way (s).
EVERYSEC_LOSES_S: Final = 3.0
#: How long each fsync takes on a slow disk (s).
SLOW_S: Final = 2.0
#: Jobs acknowledged between two cuts, at least.
BETWEEN_CUTS: Final = 150


@dataclass
class _Tally:
    """What was lost at one level, and how long before the cut it had been acknowledged (s)."""

    acknowledged: int = 0
    lost: list[float] = field(default_factory=list)
    outcomes: int = 0
    lost_outcomes: list[float] = field(default_factory=list)


class PowerCut(Scenario):
    """The server loses its power under load, and keeps only what it had synced to its disk.

    At each level of durability, clients submit and wait for outcomes, workers run, and the power is
    cut several times. After each cut every acknowledged job and every outcome that a client was
    told is looked up, and what is lost is submitted again under its request id.
    """

    name: ClassVar = "power_cut"
    rows: ClassVar = (16,)
    expects: ClassVar = (
        "at `always` no acknowledged job and no outcome is lost, at `everysec` only the youngest; "
        "receipts name the level; the service works on by itself, and tokens still rise"
    )
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        for appendfsync, level in LEVELS.items():
            await _Level(run, appendfsync, level).run()
        await _Level(run, "everysec", Durability.EVERYSEC, slow_s=SLOW_S).run()


class _Level:
    """The cuts at one level."""

    def __init__(
        self,
        run: Run,
        appendfsync: Literal["no", "everysec", "always"],
        level: Durability,
        slow_s: float = 0.0,
    ) -> None:
        self._run = run
        self._appendfsync: Literal["no", "everysec", "always"] = appendfsync
        self._level = level
        self._slow_s = slow_s
        slowly = f", each fsync takes {slow_s:g} s" if slow_s else ""
        self._name = f"{level.value.lower()}{slowly}"
        self._tally = _Tally()
        self._lost: dict[int, Ack] = {}
        self._seen: set[int] = set()  # What a cut has spared is on the disk by then.
        self._settings = {"min_durability": level.value.lower()}

    async def run(self) -> None:
        result, cuts = self._run.result, self._run.scaled(3, at_least=3)
        world = SmallWorld(
            self._run,
            name=f"{self._appendfsync}-{self._slow_s:g}",
            appendfsync=self._appendfsync,
            shims=["fsyncspy", "slowfsync"],
            settings=self._settings,
        )
        async with world:
            async with Load(world.client) as load:
                for cut in range(cuts):
                    self._run.say(f"{self._name}: cut {cut + 1} of {cuts}")
                    await self._cut(world, load)
            kept = [ack for ack in load.acks.values() if ack.number not in self._lost]
            await self._look(load, kept, cut_at=time.monotonic())
            result.expect(
                not load.errors,
                "recovery",
                f"{self._name}: submits failed in spite of retries: {load.errors}",
            )
        self._tally.acknowledged = len(load.acks)
        self._tally.outcomes = len(load.outcomes)
        wrong = {ack.durability for ack in load.acks.values()} - {self._level}
        result.expect(not wrong, "durability", f"receipts name {wrong}, not {self._level.value}")
        result.jobs += len(load.acks)
        expect_rising_tokens(world)
        self._judge(world.server.longest_sync_s)

    async def _cut(self, world: SmallWorld, load: Load) -> None:
        world.server.preload.fsync_delay.value = round(self._slow_s * 1e6)
        await load.more(BETWEEN_CUTS)
        await asyncio.sleep(self._run.chance.uniform(0.1, 1.5) + 2 * self._slow_s)
        cut_at = time.monotonic()
        await asyncio.to_thread(world.server.power_cut)
        await asyncio.sleep(0.2)  # Most answers that are on their way arrive.
        world.server.preload.fsync_delay.value = 0
        starting = time.monotonic()
        await asyncio.to_thread(world.server.start)
        restarted = time.monotonic()
        tally = self._run.result.tally(f"power cut at {self._name}", PowerCut.rows)
        tally.strikes += 1
        await world.working()
        tally.recovery_ms.append((time.monotonic() - restarted) * 1000)
        # An answer to what was sent before the cut may tell of either server: it is judged by this
        # cut, and by the next one, too. What was sent after it, and answered since, by that alone.
        before = [
            ack
            for number, ack in load.acks.items()
            if number not in self._seen and (ack.at < starting or ack.began < cut_at)
        ]
        self._seen |= {ack.number for ack in before if ack.at < starting}
        lost = await self._look(load, before, cut_at)
        for ack in self._run.chance.sample(lost, min(50, len(lost))):
            self._run.result.expect(
                await load.again(ack) is SubmitOutcome.CREATED,
                "resubmission",
                f"job {ack.job_id} was lost, and a submit under its request id did not make it",
            )
        kept = [ack for ack in before if ack.number not in self._lost]
        for ack in self._run.chance.sample(kept, min(10, len(kept))):
            self._run.result.expect(
                await load.again(ack) is SubmitOutcome.REPEATED,
                "resubmission",
                f"job {ack.job_id} was kept, and a submit under its request id made it anew",
            )

    async def _look(self, load: Load, acks: list[Ack], cut_at: float) -> list[Ack]:
        """Notes which of those jobs, and of their outcomes, are gone; returns the jobs."""
        outcomes = dict(load.outcomes)
        jobs = await load.look([ack for ack in acks if ack.number not in self._lost])
        lost = []
        for number, job in jobs.items():
            ack, told = load.acks[number], outcomes.get(number)
            if job is None:
                lost.append(ack)
                self._lost[number] = ack
                self._tally.lost.append(max(0.0, cut_at - ack.at))
            if told and told.at <= cut_at and (job is None or job.result_bytes != told.result):
                self._tally.lost_outcomes.append(max(0.0, cut_at - told.at))
                load.outcomes.pop(number)
        return lost

    def _judge(self, longest_sync_s: float) -> None:
        result, tally, name = self._run.result, self._tally, self._name
        for what, lost, count in (
            ("jobs", tally.lost, tally.acknowledged),
            ("outcomes", tally.lost_outcomes, tally.outcomes + len(tally.lost_outcomes)),
        ):
            oldest = max(lost, default=0.0)
            text = f"{len(lost)} of {count}"
            result.figures[f"{name}: {what} lost"] = (
                f"{text}, the oldest {oldest:.2f} s before the cut" if lost else text
            )
            if self._level is Durability.ALWAYS:
                result.expect(not lost, "I1", f"always: {what} were lost: {text}")
            elif self._level is Durability.EVERYSEC:
                result.expect(
                    oldest <= EVERYSEC_LOSES_S + 2 * longest_sync_s,
                    "I1",
                    f"everysec: {what} were lost that were {oldest:.2f} s old, "
                    f"and no fsync took more than {longest_sync_s:.2f} s",
                )
            else:
                # Else this scenario could not see a loss, and would prove nothing above.
                result.expect(lost, "harness", f"none: no {what} were lost, so no power was cut")
        result.figures[f"{name}: slowest fsync"] = f"{longest_sync_s * 1000:.1f} ms"
