"""The server is full: nothing more gets in, and what is in it comes to its end."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import Broker
from penstock.broker.info import parse_info
from penstock.client import JobState
from tests.chaos.checks import expect_undisturbed, have_begun
from tests.chaos.load.flood import BULK, Flood
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from penstock.client import Job
    from tests.chaos.scenario import Run

__all__ = ["FullMemory"]

LEASE_S: Final = 2.0
RUNNING: Final = 12
WAITING: Final = 40
#: How long jobs run that were there before (s).
HOLD_S: Final = 12.0
#: What fits in before the server is full (bytes), and of which size a job is.
ROOM: Final = 8_000_000
PAYLOAD: Final = 20_000
SUBMITTERS: Final = 8
REFUSALS: Final = 50
#: Of all jobs, so that there is room again once they have ended (s).
RETENTION_S: Final = 1.0


class FullMemory(Scenario):
    """Submits fill the server up to maxmemory, while jobs run and wait; then a queue is purged."""

    name: ClassVar = "full_memory"
    rows: ClassVar = (20,)
    expects: ClassVar = (
        "submits are refused with RESOURCE_EXHAUSTED and a time to retry after, and leave nothing "
        "behind; running jobs keep their leases and end; waiting ones run; submits are taken again "
        "as soon as there is room"
    )
    seconds: ClassVar = 60.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        await _Fill(run, "by the gateway, at its high-water mark", 0.8).go()
        await _Fill(run, "by the server, at maxmemory", 1.0).go()


class _Fill:
    """One server that is filled.

    Args:
        run: of the scenario.
        refused: by whom submits are to be refused.
        high_water: share of maxmemory from which on the gateway refuses them.
    """

    def __init__(self, run: Run, refused: str, high_water: float) -> None:
        self._run = run
        self._refused = refused
        self._high_water = high_water

    async def go(self) -> None:
        """Fills it, and looks what still works."""
        async with AsyncExitStack() as exits:
            stage = Stage(
                self._run,
                name=f"high-water-{self._high_water:g}",
                lease_s=LEASE_S,
                slots=RUNNING + WAITING,
            )
            self._stage = await exits.enter_async_context(stage)
            self._broker = await exits.enter_async_context(Broker(stage.server.url))
            await stage.start_gateway(memory_high_water=self._high_water)
            stage.start_worker()
            self._client = await exits.enter_async_context(stage.connect())
            await stage.registered(self._client)
            blunt = await exits.enter_async_context(stage.connect(retry_for=0.0))
            self._flood = Flood(blunt, PAYLOAD, retention=RETENTION_S)
            await self._go_through()

    async def _go_through(self) -> None:
        result = self._run.result
        fault = f"the server is full; submits are refused {self._refused}"
        tally = result.tally(fault, FullMemory.rows)
        tally.strikes += 1
        running, talking = await self._begin()
        await self._client.pause_queue("default")
        waiting = [await self._submit("hold", 0.0) for _ in range(WAITING)]
        await self._fill()
        self._run.say("full; waiting jobs are to run, and running ones to end")
        await self._client.resume_queue("default")
        ended = await self._ended([*running, *waiting])
        expect_undisturbed(result, ended, "full", f"refused {self._refused}")
        result.expect(
            not await self._flood.submit(),
            "harness",
            "the server was not full to the end: this proves nothing",
        )
        freed_s = time.monotonic()
        await self._client.purge_queue(BULK)
        await when(self._flood.submit, "submits are taken again")
        tally.recovery_ms.append((time.monotonic() - freed_s) * 1000)
        for job in await self._ended(talking):  # They had to wait for room.
            result.expect(
                job.state is JobState.SUCCEEDED and not job.crashes,
                "full",
                f"the talking job {job.job_id} ended {job.state.name} after {job.crashes} crashes",
            )
        result.jobs += len(running) + len(talking) + len(waiting) + len(self._flood.accepted)

    async def _begin(self) -> tuple[list[str], list[str]]:
        """Ids of jobs that run: those that only hold on, and those that talk."""
        share = RUNNING // 3
        running = [await self._submit(type_, HOLD_S) for type_ in ("hold", "hold.thread") * share]
        talking = [await self._submit("talk", HOLD_S) for _ in range(share)]
        await when(partial(have_begun, self._stage, [*running, *talking]), "jobs run")
        return running, talking

    async def _submit(self, type_: str, seconds: float) -> str:
        return (await self._client.submit(type_, seconds, retention=60)).job_id

    async def _fill(self) -> None:
        """Sets the limit, and submits until many submits were refused."""
        link, flood = self._broker.link, self._flood
        used = int(parse_info(await link.call("INFO", "memory"))["used_memory"])
        limit = round((used + ROOM) / self._high_water)
        await link.call("CONFIG", "SET", "maxmemory", limit)
        self._run.say(f"filling the server: {self._refused}")
        await flood.pour(SUBMITTERS, lambda: len(flood.refusals) >= REFUSALS)
        self._run.result.figures[f"refused {self._refused}"] = (
            f"{len(flood.refusals)} submits; {len(flood.accepted)} were accepted before"
        )
        self._look_at_refusals()
        await self._look_at_what_is_stored()

    def _look_at_refusals(self) -> None:
        for error in self._flood.refusals:
            status = error.status
            self._run.result.expect(
                (status.code, status.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")
                and status.retry_after_s is not None,
                "full",
                f"a submit was refused {self._refused} with {status}",
            )

    async def _look_at_what_is_stored(self) -> None:
        accepted = len(self._flood.accepted)
        (slot,) = self._broker.engine.slots(await self._broker.engine.queue(BULK))
        base = slot.base.decode()
        for kind, what in {"j": "records", "p": "payloads", "i": "idempotency keys"}.items():
            keys = await self._broker.link.call("KEYS", f"{base}:{kind}:*")
            self._run.result.expect(
                len(keys) == accepted,
                "full",
                f"{self._refused}: {len(keys)} {what} of {accepted} accepted submits",
            )

    async def _ended(self, jobs: list[str]) -> list[Job]:
        return await asyncio.gather(
            *(self._client.wait(job_id, timeout=PATIENCE_S) for job_id in jobs)
        )
