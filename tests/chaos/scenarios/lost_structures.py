"""Streams and sets are deleted by somebody else."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import Broker, Priority
from penstock.client import NewJob, PenstockError
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from penstock.broker.keys import Slot
    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["LostStructures"]

Damage = Callable[[Broker, "Slot"], Awaitable[object]]

LEASE_S: Final = 2.0
WAITING: Final = 3_000
DELAYED: Final = 300
BATCH: Final = 500


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
