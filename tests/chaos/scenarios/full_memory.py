"""The server is full: nothing more gets in, and what is in it comes to its end."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.broker import Broker
from penstock.broker.info import parse_info
from penstock.client import AsyncClient, JobState, StatusError
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.stage import PATIENCE_S, Stage, when
from tests.support.waiting import eventually

if TYPE_CHECKING:
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
#: A queue that no worker serves.
BULK: Final = "bulk"
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
        self._accepted: list[str] = []
        self._refusals: list[StatusError] = []
        self._numbers = itertools.count()

    async def go(self) -> None:
        """Fills it, and looks what still works."""
        run = self._run
        folder = f"high-water-{self._high_water:g}"
        async with (
            Stage(run, folder=folder, lease_s=LEASE_S, slots=RUNNING + WAITING) as stage,
            Broker(stage.server.url) as broker,
        ):
            await stage.gateway(memory_high_water=self._high_water)
            stage.worker()
            # What is asked for once shows what a gateway answers.
            async with (
                stage.client() as client,
                AsyncClient(f"127.0.0.1:{stage.ports[0]}", retry_for=0) as blunt,
            ):
                await stage.registered(client)
                await self._with(stage, broker, client, blunt)

    async def _with(
        self, stage: Stage, broker: Broker, client: AsyncClient, blunt: AsyncClient
    ) -> None:
        run, result = self._run, self._run.result
        tally = result.tally(f"the server is full; submits are refused {self._refused}", (20,))
        tally.strikes += 1
        running = [
            (await client.submit(type_, HOLD_S, retention=60)).job_id
            for type_ in ("hold", "hold.thread", "talk") * (RUNNING // 3)
        ]

        def begun() -> bool:
            return {line["job"] for line in stage.lines() if line.kind == "start"} >= {*running}

        await when(begun, "jobs run")
        await client.pause_queue("default")
        waiting = [(await client.submit("hold", 0.0, retention=60)).job_id for _ in range(WAITING)]
        used = int(parse_info(await broker.link.call("INFO", "memory"))["used_memory"])
        limit = round((used + ROOM) / self._high_water)
        await broker.link.call("CONFIG", "SET", "maxmemory", limit)
        run.say(f"filling the server: {self._refused}")
        await self._fill(blunt)
        await self._look_at_refusals(broker)
        run.say("full; waiting jobs are to run, and running ones to end")
        await client.resume_queue("default")
        ended = await asyncio.gather(
            *(
                client.wait(job_id, timeout=PATIENCE_S)
                for job_id in (*running, *waiting)
                if job_id not in running[2::3]  # Those that talk have to wait for room.
            )
        )
        result.jobs += len(running) + len(waiting) + len(self._accepted)
        for job in ended:
            result.expect(
                job.state is JobState.SUCCEEDED and job.attempt == 1 and not job.crashes,
                "full",
                f"{job.type} job {job.job_id} ended {job.state.name} in attempt {job.attempt}, "
                f"after {job.crashes} crashes, on a server that was full",
            )
        full = await self._is_full(blunt)
        result.expect(full, "harness", "the server was not full to the end: this proves nothing")
        freed_s = time.monotonic()
        await client.purge_queue(BULK)

        async def taken() -> bool:
            return not await self._is_full(blunt)

        await eventually(taken, "submits are taken again", within_s=PATIENCE_S)
        tally.recovery_ms.append((time.monotonic() - freed_s) * 1000)
        for job_id in running[2::3]:
            job = await client.wait(job_id, timeout=PATIENCE_S)
            result.expect(
                job.state is JobState.SUCCEEDED and not job.crashes,
                "full",
                f"the talking job {job_id} ended {job.state.name} after {job.crashes} crashes",
            )
        result.figures[f"refused {self._refused}"] = (
            f"{len(self._refusals)} submits; {len(self._accepted)} were accepted before"
        )

    async def _fill(self, blunt: AsyncClient) -> None:
        async def submit() -> None:
            while len(self._refusals) < REFUSALS:
                await self._submit(blunt)

        async with asyncio.TaskGroup() as group:
            for _ in range(SUBMITTERS):
                group.create_task(submit())

    async def _submit(self, blunt: AsyncClient) -> bool:
        number = next(self._numbers)
        try:
            handle = await blunt.submit(
                BULK,
                number.to_bytes(4) * (PAYLOAD // 4),
                queue=BULK,
                retention=RETENTION_S,
                idempotency_key=f"bulk {number}",
                allow_unregistered=True,
            )
        except StatusError as error:
            self._refusals.append(error)
            return False
        self._accepted.append(handle.job_id)
        return True

    async def _is_full(self, blunt: AsyncClient) -> bool:
        return not await self._submit(blunt)

    async def _look_at_refusals(self, broker: Broker) -> None:
        expect = self._run.result.expect
        for error in self._refusals:
            status = error.status
            expect(
                (status.code, status.reason) == ("RESOURCE_EXHAUSTED", "STORAGE_FULL")
                and status.retry_after_s is not None,
                "full",
                f"a submit was refused {self._refused} with {status}",
            )
        queue = await broker.engine.queue(BULK)
        (slot,) = broker.engine.slots(queue)
        base = slot.base.decode()
        for kind, what in {"j": "records", "p": "payloads", "i": "idempotency keys"}.items():
            keys = await broker.link.call("KEYS", f"{base}:{kind}:*")
            expect(
                len(keys) == len(self._accepted),
                "full",
                f"{self._refused}: {len(keys)} {what} of {len(self._accepted)} accepted submits",
            )
