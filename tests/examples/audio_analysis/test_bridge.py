"""The bridge: each row of the old table comes out once, whatever is killed, and may go back."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from examples.audio_analysis.bridge import drain, give_back, roll_back
from examples.audio_analysis.jobs import ANALYZE, QUEUE, Analysis
from penstock.client import AsyncClient
from tests.support.processes import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from examples.audio_analysis.table import OldJob, Table
    from examples.audio_analysis.tones import Truth
    from examples.harness.stack import Stack

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture
async def jobs(stack: Stack) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(stack.address) as client:
        yield client


@asynccontextmanager
async def bridge(client: AsyncClient, table: Table) -> AsyncIterator[None]:
    """A bridge that runs beside the test."""
    stopping = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(drain(client, table, stopping))
        yield
        stopping.set()


@asynccontextmanager
async def paused(client: AsyncClient) -> AsyncIterator[None]:
    """Nothing is handed out to workers."""
    await client.pause_queue(QUEUE)
    yield
    await client.resume_queue(QUEUE)


async def come_out(table: Table, rows: int) -> list[OldJob]:
    def out() -> bool:
        counts = table.counts()
        return counts.get("done", 0) + counts.get("failed", 0) == rows

    await eventually(out, f"{rows} rows come out", within_s=40)
    return table.rows()


async def test_rows_are_drained_beside_the_old_worker(
    jobs: AsyncClient, table: Table, truths: list[Truth], broken: str
) -> None:
    table.add([truth.file_key for truth in truths] + [broken])
    mine = table.take("old worker")[0]
    async with bridge(jobs, table):
        await eventually(lambda: table.counts().get("done") == 3, "three are done", within_s=40)
        table.finish(mine.row_id, {"by": "hand"})
        table.add([truths[1].file_key])  # A producer goes on as ever.
        rows = await come_out(table, 6)
    assert rows[0].results == {"by": "hand"}
    for row, truth in zip(rows[1:4], truths[1:], strict=True):
        assert (row.status, row.worker) == ("done", "bridge")
        assert truth.agrees(Analysis.model_validate(row.results))
    assert rows[4].status == "failed"
    assert "cannot be read as audio" in str(rows[4].error)
    assert rows[5].status == "done"
    assert table.claims() == []


async def test_a_bridge_that_was_killed_before_it_submitted_loses_nothing(
    jobs: AsyncClient, table: Table, truths: list[Truth]
) -> None:
    table.add([truths[0].file_key])
    assert len(table.claim(10)) == 1  # And here it is killed.
    async with bridge(jobs, table):
        rows = await come_out(table, 1)
    assert rows[0].status == "done"


async def test_a_bridge_that_was_killed_after_it_submitted_submits_no_second_job(
    jobs: AsyncClient, table: Table, truths: list[Truth]
) -> None:
    table.add([truths[0].file_key])
    claim = table.claim(10)[0]
    payload = {"file_key": claim.file_key}
    job = await jobs.submit(ANALYZE, payload, queue=QUEUE, request_id=claim.request_id)
    await job.wait(timeout=30)
    submitted = (await jobs.queue_stats(QUEUE)).submitted
    async with bridge(jobs, table), bridge(jobs, table):  # Two at once do no harm, either.
        await come_out(table, 1)
    assert (await jobs.queue_stats(QUEUE)).submitted == submitted


async def test_a_row_is_settled_once(table: Table) -> None:
    table.add(["a.wav"])
    claim = table.claim(1)[0]
    assert table.settle(claim, {"first": 1}, None)
    assert not table.settle(claim, {"second": 2}, None)
    assert table.rows()[0].results == {"first": 1}


async def test_claims_and_the_old_worker_never_take_the_same_row(table: Table) -> None:
    table.add([f"{number}.wav" for number in range(200)])

    def alternately() -> list[int]:
        rows: list[int] = []
        for _ in range(5):
            rows += [claim.row_id for claim in table.claim(3)]
            rows += [row.row_id for row in table.take("old worker", 3)]
        return rows

    taken = await asyncio.gather(*(asyncio.to_thread(alternately) for _ in range(4)))
    rows = [row_id for some in taken for row_id in some]
    assert len(rows) == len(set(rows)) == 120
    by_bridge = [row.row_id for row in table.rows() if row.worker == "bridge"]
    assert sorted(by_bridge) == sorted(claim.row_id for claim in table.claims())


async def test_a_roll_back_gives_rows_to_the_old_worker_until_it_is_opened_again(
    jobs: AsyncClient, table: Table, truths: list[Truth]
) -> None:
    table.add([truth.file_key for truth in truths] * 5)
    async with bridge(jobs, table):
        async with paused(jobs):
            await eventually(lambda: len(table.claims()) == 20, "all are taken", within_s=20)
            assert table.take("old worker") == []
            assert await roll_back(jobs, table) == 20
        assert table.claims() == []
        assert table.counts() == {"queued": 20}
        stats = await jobs.queue_stats(QUEUE)
        assert (sum(stats.waiting.values()), stats.running) == (0, 0)
        assert await roll_back(jobs, table) == 0, "a second time there is nothing to do"
        assert table.claim(10) == [], "the switch is closed"
        mine = table.take("old worker", 5)
        for row in mine:
            table.finish(row.row_id, {"by": "hand"})
        table.open_switch(to=True)
        rows = await come_out(table, 20)
    assert [row.worker for row in rows].count("old worker") == len(mine) == 5
    assert all(row.status == "done" for row in rows)


async def test_a_roll_back_keeps_what_has_come_out(
    jobs: AsyncClient, table: Table, truths: list[Truth]
) -> None:
    table.add([truths[0].file_key])
    claim = table.claim(1)[0]
    payload = {"file_key": claim.file_key}
    job = await jobs.submit(ANALYZE, payload, queue=QUEUE, request_id=claim.request_id)
    await job.wait(timeout=30)
    assert await roll_back(jobs, table) == 0
    assert table.rows()[0].status == "done"


async def test_rows_go_back_even_without_penstock_and_late_results_do_not_count(
    jobs: AsyncClient, table: Table, truths: list[Truth]
) -> None:
    table.add([truths[0].file_key])
    async with paused(jobs), bridge(jobs, table):
        await eventually(lambda: len(table.claims()) == 1, "it is taken", within_s=20)
        claim = table.claims()[0]
        assert give_back(table) == 1
        row = table.take("old worker")[0]
        table.finish(row.row_id, {"by": "hand"})
    async with AsyncClient(jobs.address) as late:
        job = await late.submit(
            ANALYZE, {"file_key": claim.file_key}, queue=QUEUE, request_id=claim.request_id
        )
        found = await job.result(timeout=30)
    assert not table.settle(claim, found, None)
    assert table.rows()[0].results == {"by": "hand"}


async def test_a_gateway_that_is_away_is_waited_for(
    stack: Stack, table: Table, truths: list[Truth]
) -> None:
    port = free_port()
    table.add([truths[0].file_key])
    async with (
        AsyncClient(f"127.0.0.1:{port}", timeout=1) as away,
        bridge(away, table),
    ):
        await eventually(lambda: len(table.claims()) == 1, "it is taken", within_s=20)
        await asyncio.to_thread(stack.start_gateway, f"127.0.0.1:{port}")
        rows = await come_out(table, 1)
    assert rows[0].status == "done"
