"""kill -9 of processes that keep house: whoever is left takes over, whatever slots were theirs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.broker import Broker, BrokerOptions, JobState, NewJob
from penstock.broker.housekeeper import LOOK_IN_EVERY_S
from tests.support.processes import Fleet, free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.broker import Job

APP: Final = "tests.faults.app:app"
#: So many that each pair of three keepers has slots to take care of.
PARTITIONS: Final = 12
JOBS: Final = 36
LEASE_S: Final = 3.0
#: For a machine that is busy with other tests (s).
LENIENCE_S: Final = 10.0


@pytest.fixture
def fleet(redis_url: str, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(redis_url, tmp_path) as fleet:
        yield fleet


@pytest.mark.parametrize(
    ("killed", "within_s"), [(1, LEASE_S + 1), (2, LEASE_S + LOOK_IN_EVERY_S + 1)]
)
async def test_what_they_ran_is_taken_back(
    fleet: Fleet, redis_url: str, killed: int, within_s: float
) -> None:
    """With two killed, there are slots that lost their worker and both caretakers at once.

    How soon is measured where the machine is quiet, by the chaos scenario `lost_worker`.
    """
    fleet.gateway(free_port(), partitions=PARTITIONS)
    settings: dict[str, Any] = {"lease_s": LEASE_S, "partitions": PARTITIONS, "drain_grace_s": 0.1}
    workers = [fleet.worker(APP, **settings) for _ in range(2)]
    async with Broker(redis_url, BrokerOptions(partitions=PARTITIONS)) as broker:
        keepers = broker.engine.names.keepers()

        async def all_keep_house() -> bool:
            return bool(await broker.link.call("HLEN", keepers) == 1 + len(workers))

        await eventually(all_keep_house, "all three keep house", within_s=30)
        ids = [
            (await broker.jobs.submit(NewJob("hang", "default", f"request {number}"))).job_id
            for number in range(JOBS)
        ]

        async def jobs() -> list[Job]:
            return await asyncio.gather(*(broker.jobs.get(job_id) for job_id in ids))

        async def all_run() -> bool:
            return {job.state for job in await jobs()} == {JobState.RUNNING}

        await eventually(all_run, "all jobs run", within_s=30)
        pids = {f"-{worker.pid}-" for worker in workers[:killed]}
        theirs = [job.job_id for job in await jobs() if any(pid in job.worker_id for pid in pids)]
        assert theirs
        for worker in workers[:killed]:
            worker.kill()

        async def taken_back() -> bool:
            return all(job.crashes == 1 for job in await jobs() if job.job_id in theirs)

        within_s += LENIENCE_S
        await eventually(taken_back, "their jobs are taken back", within_s=within_s, every_s=0.1)
        assert {job.crashes for job in await jobs() if job.job_id not in theirs} <= {0}
