"""Gateways and workers are killed at random: every occurrence of every schedule is fired once.

The small run is part of `make test`; the whole one is slow, and what `make soak-schedules` runs.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import Broker
from penstock.client import AsyncClient, CatchUp, JobState, NewJob, Overlap, Schedule
from tests.support.processes import Fleet, free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from penstock.client import Job

APP: Final = "tests.faults.app:app"
WORKERS: Final = 2
#: What making the schedules may take, before the first occurrence; and how long before that the
#: first are killed (s).
PATIENCE_S: Final = 20
LEAD_S: Final = 2


@dataclass(frozen=True)
class Run:
    """How much of it.

    Attributes:
        gateways: that run at once.
        schedules: of an interval of one second.
        seconds: that each of them lasts.
        outage_s: for which, in the middle of it, no process is there at all.
        pause_s: between two kills, at most.
    """

    gateways: int
    schedules: int
    seconds: int
    outage_s: float
    pause_s: float


SMALL: Final = Run(gateways=2, schedules=20, seconds=8, outage_s=1.0, pause_s=1.0)
WHOLE: Final = Run(gateways=3, schedules=200, seconds=60, outage_s=3.0, pause_s=3.0)


class Crew:
    """The processes: each has a place, in which one that was killed is replaced."""

    def __init__(self, fleet: Fleet, run: Run) -> None:
        self.ports = [free_port() for _ in range(run.gateways)]
        self._starts: list[Callable[[], subprocess.Popen[bytes]]] = [
            *(partial(fleet.gateway, port) for port in self.ports),
            *[partial(fleet.worker, APP, lease_s=2)] * WORKERS,
        ]
        self._running = [start() for start in self._starts]
        self.kills = 0

    async def kill(self, places: list[int]) -> None:
        """Ends some as a crash would."""
        for place in places:
            self._running[place].kill()
            await asyncio.to_thread(self._running[place].wait)
        self.kills += len(places)

    async def start(self, places: list[int]) -> None:
        """Starts others in their places."""
        for place in places:
            self._running[place] = await asyncio.to_thread(self._starts[place])

    async def suffer(self, run: Run, until_s: float) -> None:
        """Kills one or more at random, and starts others, again and again; once all at once."""
        everybody = list(range(len(self._running)))
        outage_at_s = (time.time() + until_s) / 2
        while time.time() < until_s:
            if outage_at_s and time.time() > outage_at_s:
                outage_at_s = 0.0
                await self.kill(everybody)
                await asyncio.sleep(run.outage_s)
                await self.start(everybody)
            else:
                chosen = random.sample(everybody, random.randint(1, len(everybody) // 2))  # noqa: S311
                await self.kill(chosen)
                await self.start(chosen)
            await asyncio.sleep(random.uniform(0, run.pause_s))  # noqa: S311 - no secret.


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(SMALL, id="small", marks=pytest.mark.timeout(180)),
        pytest.param(WHOLE, id="whole", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
async def test_every_occurrence_is_fired_once(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    journal = tmp_path / "journal"
    journal.touch()
    monkeypatch.setenv("PENSTOCK_TEST_JOURNAL", str(journal))
    with Fleet(redis_url, tmp_path) as fleet:
        crew = await asyncio.to_thread(Crew, fleet, run)
        address = f"ipv4:{','.join(f'127.0.0.1:{port}' for port in crew.ports)}"
        async with AsyncClient(address, timeout=60) as client:
            await _worker_registered(redis_url)
            begin = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=PATIENCE_S)
            end = begin + timedelta(seconds=run.seconds - 1)
            definition = Schedule(
                NewJob("tally", 0),
                every=1,
                start_time=begin,
                end_time=end,
                overlap=Overlap.ALLOW,
                catch_up=CatchUp.ALL,
            )
            names = [f"s{number:03}" for number in range(run.schedules)]
            await asyncio.gather(*(client.create_schedule(name, definition) for name in names))
            assert datetime.now(UTC) < begin, "the machine is too slow for this test"
            # That all are gone at once is to fall into the middle of it.
            await asyncio.sleep((begin - datetime.now(UTC)).total_seconds() - LEAD_S)
            await crew.suffer(run, end.timestamp())

            expected = run.schedules * run.seconds

            async def all_done() -> bool:
                stats = await client.queue_stats()
                return stats.succeeded >= expected and not stats.running

            await eventually(all_done, "all occurrences are fired and run", within_s=120)
            jobs = [job async for job in client.list()]
            infos = [info async for info in client.schedules()]
    occurrences = Counter((job.schedule_id, job.occurrence_time) for job in jobs)
    seconds = [begin + timedelta(seconds=number) for number in range(run.seconds)]
    assert occurrences == Counter((name, second) for name in names for second in seconds)
    assert len({job.job_id for job in jobs}) == expected
    assert {job.state for job in jobs} == {JobState.SUCCEEDED}
    assert {(info.fired, info.skipped, info.missed) for info in infos} == {(run.seconds, 0, 0)}
    executions = (await asyncio.to_thread(journal.read_text)).count("\n")
    assert executions >= expected
    _report(run, jobs, crew.kills, executions)


def _report(run: Run, jobs: list[Job], kills: int, executions: int) -> None:
    late_s = sorted(
        (job.create_time - job.occurrence_time).total_seconds()
        for job in jobs
        if job.create_time and job.occurrence_time
    )
    quantiles = {share: late_s[int(share * (len(late_s) - 1))] for share in (0.5, 0.9, 0.99, 1.0)}
    text = ", ".join(f"p{share:.0%} {late * 1000:.0f} ms" for share, late in quantiles.items())
    print(  # noqa: T201 - for whoever runs it with -s.
        f"\n{run.schedules} schedules x {run.seconds} s, {run.gateways} gateways, {WORKERS} "
        f"workers, {kills} kills: {len(jobs)} occurrences, each once; {executions} executions;"
        f" fired late by {text}"
    )


async def _worker_registered(redis_url: str) -> None:
    async with Broker(redis_url) as broker:

        async def registered() -> bool:
            return bool(await broker.registry.types())

        await eventually(registered, "a worker has registered", within_s=30)
