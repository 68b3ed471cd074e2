"""Streams and sets are deleted by somebody else; and then everything is (FLUSHALL)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import Broker, Priority
from penstock.client import JobState, NewJob, NotFound, PenstockError, Schedule, StatusError
from tests.chaos.load.callers import Callers
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    import subprocess

    from penstock.broker.keys import Slot
    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["Flushed", "LostStructures"]

Damage = Callable[[Broker, "Slot"], Awaitable[object]]

LEASE_S: Final = 2.0
WAITING: Final = 3_000
DELAYED: Final = 300
BATCH: Final = 500
SUBMITTERS: Final = 4
FLUSHES: Final = 3
#: New jobs run after it (s), whatever was lost: workers look every 10 s what is known of them.
WORKS_WITHIN_S: Final = 15.0


class LostStructures(Scenario):
    """Streams, entries, groups and sets are deleted under thousands of jobs that wait in them."""

    name: ClassVar = "lost_structures"
    rows: ClassVar = (22, 23)
    expects: ClassVar = "every job is put back where it was, within seconds, and runs"
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S) as stage, Broker(stage.server.url) as broker:
            await stage.start_gateway()
            stage.start_worker()
            async with stage.connect() as client:
                await stage.registered(client)
                # A worker says what it can run before it makes the queue that it takes it from.
                await when(client.queues, "there is a queue")
                await client.pause_queue("default")
                jobs = await self._submit(run, client)
                (slot,) = broker.engine.slots(await broker.engine.queue("default"))
                for what, damage in DAMAGES.items():
                    if not await self._heal(run, client, what, damage(broker, slot)):
                        return  # What comes next would count on it.
                await client.resume_queue("default")

                async def all_ended() -> bool:
                    return (await client.queue_stats()).succeeded == len(jobs)

                await when(all_ended, "all jobs have run", 4 * PATIENCE_S)
                run.result.jobs += len(jobs)

    @staticmethod
    async def _submit(run: Run, client: AsyncClient) -> list[str]:
        waiting, delayed = run.scaled(WAITING), run.scaled(DELAYED)
        wanted = [NewJob("hold", 0.0) for _ in range(waiting)]
        wanted += [NewJob("hold", 0.0, delay=45) for _ in range(delayed)]
        jobs: list[str] = []
        for start in range(0, len(wanted), BATCH):
            batch = await client.submit_many(wanted[start : start + BATCH])
            jobs += [each.job_id for each in batch if not isinstance(each, PenstockError)]
        return jobs

    @staticmethod
    async def _heal(run: Run, client: AsyncClient, what: str, damage: Awaitable[object]) -> bool:
        """Whether all jobs are back in place, in the end."""
        tally = run.result.tally(what, LostStructures.rows)
        tally.strikes += 1

        async def in_place() -> int:
            stats = await client.queue_stats()
            return sum(stats.waiting.values()) + stats.scheduled

        expected = await in_place()
        began_s = time.monotonic()
        await damage

        async def healed() -> bool:
            return await in_place() == expected

        try:
            await when(healed, f"all jobs are in place again ({what})")
        except AssertionError as error:
            run.result.expect(False, "repair", str(error))  # noqa: FBT003 - it does not.
            return False
        tally.recovery_ms.append((time.monotonic() - began_s) * 1000)
        run.say(f"healed: {what}")
        return True


async def _delete_stream(broker: Broker, slot: Slot) -> None:
    await broker.link.call("DEL", slot.stream(Priority.DEFAULT))


async def _delete_due(broker: Broker, slot: Slot) -> None:
    await broker.link.call("DEL", slot.due())


async def _trim(broker: Broker, slot: Slot) -> None:
    await broker.link.call("XTRIM", slot.stream(Priority.DEFAULT), "MAXLEN", 10)


async def _destroy_group(broker: Broker, slot: Slot) -> None:
    stream = slot.stream(Priority.DEFAULT)
    await broker.link.call("XGROUP", "DESTROY", stream, "workers")


async def _delete_all(broker: Broker, slot: Slot) -> None:
    await broker.link.call("DEL", slot.due(), *(slot.stream(each) for each in Priority))


DAMAGES: Final[dict[str, Damage]] = {
    "DEL of a stream of thousands": _delete_stream,
    "DEL of the set of delayed jobs": _delete_due,
    "XTRIM of a stream to ten entries": _trim,
    "XGROUP DESTROY": _destroy_group,
    "DEL of all streams and the set of delayed jobs": _delete_all,
}


class Flushed(Scenario):
    """FLUSHALL under load, several times: all that was acknowledged is lost, as documented."""

    name: ClassVar = "flushed"
    rows: ClassVar = (22,)
    expects: ClassVar = (
        "without a restart of anything, types are known and new jobs run within 15 s; old handles "
        "answer NOT_FOUND, watches end, schedules are gone; no process crashes or loops"
    )
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S) as stage:
            gateways = [await stage.start_gateway() for _ in range(2)]
            workers = [stage.start_worker() for _ in range(2)]
            async with stage.connect(timeout=5.0) as client:
                await stage.registered(client)
                async with Callers() as load:
                    for _ in range(SUBMITTERS):
                        load.submit_by(client)
                    for number in range(run.scaled(FLUSHES)):
                        await self._flush(run, stage, client)
                        run.say(f"flushed {number + 1} times")
                # What they were told of jobs that were lost is no matter.
                run.result.jobs += load.calls["submit"]
            for process in (*gateways, *workers):
                _look_at(run, stage, process)

    @staticmethod
    async def _flush(run: Run, stage: Stage, client: AsyncClient) -> None:
        result = run.result
        tally = result.tally("FLUSHALL", Flushed.rows)
        tally.strikes += 1
        old = await client.submit("hold", 60.0)
        schedule = f"schedule-{tally.strikes}"
        await client.create_schedule(schedule, Schedule(NewJob("hold", 0.0), every=60))
        await when(lambda: _runs(client, old.job_id), "a job runs")
        waiting = asyncio.create_task(_outcome(client, old.job_id))
        await asyncio.to_thread(stage.server.ask, "FLUSHALL")
        flushed_s = time.monotonic()

        async def works() -> bool:
            with suppress(StatusError, TimeoutError):
                job = await client.submit("hold", 0.0)
                return (await client.wait(job.job_id, timeout=5)).state is JobState.SUCCEEDED
            return False

        await when(works, "new jobs run", 4 * PATIENCE_S)
        took_s = time.monotonic() - flushed_s
        tally.recovery_ms.append(took_s * 1000)
        result.expect(
            took_s <= WORKS_WITHIN_S, "recovery", f"new jobs ran only {took_s:.1f} s after FLUSHALL"
        )
        for what, call in {
            "the status of an old job": client.status(old.job_id),
            "an old schedule": client.get_schedule(schedule),
        }.items():
            try:
                found = await call
            except NotFound:
                continue
            result.expect(None, "flushed", f"{what} is not NOT_FOUND, but {found}")
        told = await asyncio.wait_for(waiting, PATIENCE_S)
        result.expect(told == "NOT_FOUND", "flushed", f"who waited for an old job was told {told}")


async def _runs(client: AsyncClient, job_id: str) -> bool:
    with suppress(StatusError):
        return (await client.status(job_id)).state is JobState.RUNNING
    return False


async def _outcome(client: AsyncClient, job_id: str) -> str:
    """What somebody is told who waits for a job."""
    try:
        return (await client.wait(job_id, timeout=PATIENCE_S)).state.name
    except StatusError as error:
        return error.code
    except TimeoutError:
        return "nothing"


def _look_at(run: Run, stage: Stage, process: subprocess.Popen[bytes]) -> None:
    log = stage.log_of(process)
    run.result.expect(process.poll() is None, "flushed", f"a process has ended: {log[-500:]}")
    crashes = [line for line in log.splitlines() if '"crashed"' in line or "Traceback" in line]
    run.result.expect(not crashes, "flushed", "a component crashed", *crashes[:3])
