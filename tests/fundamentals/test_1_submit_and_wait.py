"""A job is submitted in one call, runs somewhere, and has a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel

from penstock.client import FailedPrecondition, InvalidRequest, JobState, SubmitOutcome
from penstock.worker import Worker

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.fundamentals.conftest import RunWorker

app = Worker()


class Sum(BaseModel):
    """What to add up."""

    terms: list[int]


@app.job("sum")
async def add_up(payload: Sum) -> int:
    """The type of the payload is its schema; what is returned is the result."""
    return sum(payload.terms)


async def test_a_job_runs_and_has_a_result(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        job = await client.submit("sum", {"terms": [1, 2, 3]})
        assert await job.result(timeout=10) == 6
        assert (await job.status()).state is JobState.SUCCEEDED


async def test_a_payload_that_does_not_fit_is_refused_at_the_door(
    client: AsyncClient, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        with pytest.raises(InvalidRequest) as refusal:
            await client.submit("sum", {"terms": [1, "two"], "extra": True})
        assert any("terms/1" in violation.field for violation in refusal.value.violations)


async def test_a_type_that_no_worker_knows_is_refused_too(client: AsyncClient) -> None:
    with pytest.raises(FailedPrecondition):
        await client.submit("no.such.type", {})


async def test_a_submit_may_be_repeated(client: AsyncClient, run_worker: RunWorker) -> None:
    """The client sends a request id with every submit; the job id is derived from it."""
    async with run_worker(app):
        first = await client.submit("sum", {"terms": [1]}, request_id="order 17")
        again = await client.submit("sum", {"terms": [1]}, request_id="order 17")
        assert again.job_id == first.job_id
        assert again.submitted is not None
        assert again.submitted.outcome is SubmitOutcome.REPEATED


async def test_equal_work_joins_by_its_key(client: AsyncClient, run_worker: RunWorker) -> None:
    async with run_worker(app):
        first = await client.submit("sum", {"terms": [4]}, idempotency_key="invoice 4")
        again = await client.submit("sum", {"terms": [4]}, idempotency_key="invoice 4")
        assert again.job_id == first.job_id
        assert again.submitted is not None
        assert again.submitted.outcome is SubmitOutcome.JOINED
