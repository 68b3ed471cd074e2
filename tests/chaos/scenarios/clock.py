"""Clocks that jump: the server's, a worker's, a gateway's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

from penstock.client import InvalidRequest, JobState, SubmitOutcome
from tests.chaos.checks import expect_all_done, expect_rising_tokens, expect_sound
from tests.chaos.history.journal import read_journals
from tests.chaos.load.steady import Load
from tests.chaos.scenario import Scenario
from tests.chaos.server.preload import Preload
from tests.chaos.worlds.small import SmallWorld
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.client import AsyncJobHandle
    from tests.chaos.scenario import Run

__all__ = ["Clock"]

SECOND: Final = 10**9
HOUR: Final = 3600 * SECOND
#: Where a clock is moved to, one after the other (ns): the jumps are +60 s, +1 h, back, -1 h, back.
OFFSETS: Final[dict[str, int]] = {
    "+60 s": 60 * SECOND,
    "+1 h": HOUR + 60 * SECOND,
    "back": 0,
    "-1 h": -HOUR,
    "back again": 0,
}
LEASE_S: Final = 2.0
#: Jobs acknowledged after each jump.
JOBS: Final = 60
#: How long an idempotency key stands here: between the two jumps forward (s).
KEY_TTL_S: Final = 1800


_After: TypeAlias = Callable[[str], Awaitable[None]]


class Clock(Scenario):
    """The date of the server jumps under load, by +60 s, +1 h and -1 h; so does that of the others.

    Across each jump jobs run whose leases are renewed; after the jump backwards a worker is killed.
    """

    name: ClassVar = "clock"
    rows: ClassVar = (27,)
    expects: ClassVar = (
        "nothing stalls, no lease expires by a jump, and a dead worker's jobs are taken over; "
        "delays, deadlines and the lives of keys go by the server's date, as documented"
    )
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        run.say("the server's clock")
        await _server_jumps(run)
        for who in ("worker", "gateway"):
            run.say(f"the {who}'s clock")
            await _process_jumps(run, who)


async def _server_jumps(run: Run) -> None:
    world = SmallWorld(
        run,
        name="server",
        shims=["clock"],
        workers=2,
        settings={"idempotency_ttl_s": KEY_TTL_S},
        worker_settings={"lease_s": LEASE_S},
    )
    dial = world.server.preload.clock_offset
    async with world:
        key = await world.client.submit("tally", -2, idempotency_key="key")
        delayed = await world.client.submit("tally", -3, delay=50)

        async def after(name: str) -> None:
            if name == "+60 s":
                job = await delayed.wait(timeout=60)
                run.result.figures["+60 s: a job delayed by 50 s"] = f"{job.state.name} at once"
                await _joins(world, key, name)
            if name == "+1 h":
                await _joins(world, key, name)
            if name == "-1 h":
                await _delays(world)
                await _take_over(world)

        await _jump(world, "server", lambda offset: setattr(dial, "value", offset), after)


async def _process_jumps(run: Run, who: str) -> None:
    preload = Preload(run.folder / f"{who}-preload", "clock")
    world = SmallWorld(
        run,
        name=who,
        workers=1,
        worker_settings={"lease_s": LEASE_S},
        gateway_env=preload.env if who == "gateway" else None,
        worker_env=preload.env if who == "worker" else None,
    )

    async def after(name: str) -> None:
        if name == "+1 h":
            moved = await (
                _gateway_is_ahead(world) if who == "gateway" else _worker_is_ahead(world)
            )
            # Else the shim does nothing, and neither does this scenario.
            run.result.expect(moved, "harness", f"the {who}'s clock has not moved")

    dial = preload.clock_offset
    async with world:
        await _jump(world, who, lambda offset: setattr(dial, "value", offset), after)


async def _jump(world: SmallWorld, whose: str, turn: Callable[[int], None], after: _After) -> None:
    """Moves a clock about under load, with jobs under way all the time."""
    result = world.run.result
    held: list[AsyncJobHandle] = []
    async with Load(world.client) as load:
        await load.more(JOBS)
        for name, offset in OFFSETS.items():
            held += [await world.client.submit("hold", LEASE_S * 1.5) for _ in range(4)]
            await _have_begun(held[-4:])
            turn(offset)
            jumped = time.monotonic()
            tally = result.tally(f"the {whose}'s clock jumps: {name}", Clock.rows)
            tally.strikes += 1
            await world.working()
            tally.recovery_ms.append((time.monotonic() - jumped) * 1000)
            await load.more(JOBS)
            # Leases that a jump shortened would be lost by now, and their jobs run twice.
            for handle in held[-4:]:
                job = await handle.wait(timeout=60)
                result.expect(
                    (job.state, job.attempt, job.crashes) == (JobState.SUCCEEDED, 1, 0),
                    "leases",
                    f"{name}: {job.job_id} is {job.state.name} after {job.attempt} attempts",
                    str(job),
                )
            await after(name)
    await expect_all_done(world, load)
    result.expect(not load.errors, "status", f"{whose}: calls failed: {load.errors}")
    await expect_sound(world)
    expect_rising_tokens(world)
    result.jobs += len(load.acks) + len(held)


async def _gateway_is_ahead(world: SmallWorld) -> bool:
    """Whether it takes a job for a time that is more than 366 days ahead, by any other clock."""
    run_at = datetime.now(UTC) + timedelta(days=366, minutes=30)
    try:
        handle = await world.client.submit("tally", -5, run_at=run_at)
    except InvalidRequest:
        return False
    await handle.cancel()
    return True


async def _worker_is_ahead(world: SmallWorld) -> bool:
    """Whether it has written down a date that is to come."""
    return any(
        line["date"] > time.time() + 1800
        for line in read_journals(world.journals)
        if line.kind == "start"
    )


async def _have_begun(handles: list[AsyncJobHandle]) -> None:
    async def begun() -> bool:
        jobs = [await handle.status() for handle in handles]
        return all(job.start_time is not None for job in jobs)

    await eventually(begun, "the jobs run", within_s=60)


async def _joins(world: SmallWorld, first: AsyncJobHandle, name: str) -> None:
    """Looks whether an idempotency key still stands for its job."""
    handle = await world.client.submit("tally", -2, idempotency_key="key")
    assert handle.submitted is not None
    joined = handle.submitted.outcome is SubmitOutcome.JOINED
    world.run.result.figures[f"{name}: an idempotency key of {KEY_TTL_S} s"] = (
        "still stands" if joined else "is forgotten"
    )
    world.run.result.expect(
        joined is (name == "+60 s"), "keys", f"{name}: joined is {joined}, {handle} and {first}"
    )


async def _delays(world: SmallWorld) -> None:
    """A delay that begins after the jump is no longer than was asked for."""
    began = time.monotonic()
    handle = await world.client.submit("tally", -4, delay=1)
    job = await handle.wait(timeout=60)
    world.run.result.expect(job.state is JobState.SUCCEEDED, "delays", f"it is {job}")
    world.run.result.figures["-1 h: a job delayed by 1 s after the jump"] = (
        f"ran after {time.monotonic() - began:.1f} s"
    )


async def _take_over(world: SmallWorld) -> None:
    """A worker is killed while the clock is behind: its jobs run elsewhere all the same."""
    result = world.run.result
    handles = [await world.client.submit("hold", 1.0) for _ in range(6)]
    await _have_begun(handles)
    victim = world.workers[0]
    ids = {handle.job_id for handle in handles}
    at = time.monotonic_ns()
    victim.kill()
    await asyncio.to_thread(victim.wait)
    for handle in handles:
        job = await handle.wait(timeout=60)
        result.expect(job.state is JobState.SUCCEEDED, "I1", f"it is {job}")
    starts = [
        line.at
        for line in read_journals(world.journals)
        if line.kind == "start" and line["job"] in ids and line.at > at
    ]
    result.expect(starts, "harness", "the killed worker had no job")
    tally = result.tally("a worker is killed, and the server's clock is behind", (1, 27))
    tally.strikes += 1
    tally.recovery_ms += [(start - at) / 1e6 for start in starts]
