"""kill -9 of workers and gateways under messages: every subscription has each one's job once."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import Broker
from penstock.client import AsyncClient, JobState
from tests.faults.topics_app import QUEUES
from tests.support.processes import Fleet, free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

APP: Final = "tests.faults.topics_app:app"
PUBLISHERS: Final = 12
WORKERS: Final = 2
#: More than so many kills could have a job quarantined.
MAX_CRASHES: Final = 50


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "journal"
    path.touch()
    monkeypatch.setenv("PENSTOCK_TEST_JOURNAL", str(path))
    return path


@pytest.mark.parametrize(
    ("messages", "kills"),
    [
        pytest.param(300, 3, id="300", marks=pytest.mark.timeout(180)),
        pytest.param(10_000, 20, id="10000", marks=[pytest.mark.slow, pytest.mark.timeout(1_200)]),
    ],
)
async def test_each_subscription_has_each_message_s_job_once(
    redis_url: str, tmp_path: Path, journal: Path, messages: int, kills: int
) -> None:
    with Fleet(redis_url, tmp_path) as fleet:
        port = free_port()
        run = _Run(fleet, redis_url, port, messages, kills)
        async with AsyncClient(f"127.0.0.1:{port}", timeout=120, reconnect_for=120) as client:
            await run.go(client)
            await _all_ended(client, messages)
            jobs = [job for queue in QUEUES async for job in client.list(queue)]
            taken_s = time.monotonic() - run.began_s
    expected = {f"order-{number}" for number in range(messages)}
    for subscription in ("order.mail", "order.stock", "audit"):
        mine = [job for job in jobs if job.type == subscription]
        held = Counter(job.message.message_id for job in mine if job.message is not None)
        assert held.keys() == expected
        assert set(held.values()) == {1}
        assert {job.state for job in mine} == {JobState.SUCCEEDED}
        assert {job.job_id for job in mine} == run.receipts[subscription]
    assert len(jobs) == 3 * messages
    ran = Counter((await asyncio.to_thread(journal.read_text)).splitlines())
    assert len(ran) == 2 * messages, "a job has a result but did not run"
    crashed = sum(job.crashes for job in jobs)
    assert crashed, "no kill met a job at work"
    print(  # noqa: T201 - the figures, for those who ask by -s.
        f"{messages} messages, {run.repeats} of them published again, {len(jobs)} jobs, "
        f"{run.killed} processes killed, {crashed} attempts lost with their workers, "
        f"{taken_s:.1f} s"
    )


class _Run:
    """Publishes while processes are killed.

    Attributes:
        receipts: ids of jobs by subscription, as publishers were told.
        repeats: messages that were published more than once on purpose.
        killed: processes so far.
        began_s: when it began to publish, by the monotonic clock.
    """

    def __init__(self, fleet: Fleet, redis_url: str, port: int, messages: int, kills: int) -> None:
        self._fleet = fleet
        self._redis_url = redis_url
        self._port = port
        self._messages = messages
        self._kills = kills
        self._published = 0
        self._chance = random.Random(messages)  # noqa: S311 - no secret.
        self.receipts: dict[str, set[str]] = {}
        self.repeats = 0
        self.killed = 0
        self.began_s = 0.0

    async def go(self, client: AsyncClient) -> None:
        gateway = await self._gateway()
        workers = [self._worker() for _ in range(WORKERS)]
        await _subscribed(self._redis_url)
        self.began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for first in range(PUBLISHERS):
                group.create_task(self._publish(client, first))
            await self._kill(gateway, workers)

    async def _publish(self, client: AsyncClient, first: int) -> None:
        for number in range(first, self._messages, PUBLISHERS):
            again = self._chance.random() < 0.1
            self.repeats += again
            for _ in range(1 + again):
                published = await client.publish(
                    "order.created", number, message_id=f"order-{number}"
                )
                for each in published.jobs:
                    self.receipts.setdefault(each.subscription, set()).add(each.job_id)
            self._published += 1

    async def _kill(
        self, gateway: subprocess.Popen[bytes], workers: list[subprocess.Popen[bytes]]
    ) -> None:
        for number in range(self._kills):
            goal = self._messages * (number + 1) // (self._kills + 1)

            def is_there(goal: int = goal) -> bool:
                return self._published >= goal

            await eventually(is_there, f"{goal} messages are published", within_s=300)
            # One worker is always left, but for every third time; then the bus only collects.
            for victim in range(WORKERS if number % 3 == 1 else 1):
                place = (number + victim) % WORKERS
                workers[place].kill()
                workers[place] = self._worker()
                self.killed += 1
            if number % 3 == 2:
                gateway.kill()
                await asyncio.to_thread(gateway.wait)
                gateway = await self._gateway()
                self.killed += 1

    def _worker(self) -> subprocess.Popen[bytes]:
        return self._fleet.worker(APP, lease_s=1, max_crashes=MAX_CRASHES)

    async def _gateway(self) -> subprocess.Popen[bytes]:
        # It takes jobs back, too.
        start = self._fleet.gateway
        return await asyncio.to_thread(start, self._port, max_crashes=MAX_CRASHES)


async def _subscribed(redis_url: str) -> None:
    async with Broker(redis_url) as broker:

        async def all_there() -> bool:
            return len((await broker.topics.directory()).subscriptions) == len(QUEUES)

        await eventually(all_there, "the workers have subscribed", within_s=60)


async def _all_ended(client: AsyncClient, messages: int) -> None:
    async def ended() -> bool:
        stats = [await client.queue_stats(queue) for queue in QUEUES]
        assert not any(each.failed for each in stats)
        return all(each.succeeded == messages for each in stats)

    await eventually(ended, "every job has succeeded", within_s=600)
