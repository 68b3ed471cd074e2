"""The example without the SDK: it runs, and keeps what it says about faults."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import grpc
import pytest

from examples.plain_stubs import submit_and_watch as example
from examples.quickstart.app import app
from penstock.v1 import job_service_pb2
from penstock.v1.job_service_pb2_grpc import JobServiceStub
from tests.client.scripted import answers, chunk, fails, snapshot, terminal, writes
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from penstock.server import Gateway
    from tests.client.conftest import RunWorker
    from tests.client.scripted import ScriptedGateway

BREAK = fails(grpc.StatusCode.UNAVAILABLE)


async def test_it_runs(
    gateway: Gateway,
    run_worker: RunWorker,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PENSTOCK_ADDRESS", gateway.address)
    async with run_worker(app):
        code = await asyncio.to_thread(example.main, "greet", '{"name": "you", "times": 2}')
    assert code == 0
    told = capsys.readouterr().out
    assert "1: QUEUED" in told
    assert "'Hello, you! '" in told
    assert 'result: "greeted you 2 times"' in told


async def test_it_shows_each_rule_that_a_payload_breaks(
    gateway: Gateway, run_worker: RunWorker
) -> None:
    async with run_worker(app):
        code, told = await run_it("greet", '{"times": "often"}', address=gateway.address)
    status, *rules = told.splitlines()
    assert code == 1, told
    assert status.startswith("INVALID_ARGUMENT: ")
    assert [rule.split(":")[0].strip() for rule in rules] == [
        "job.payload.data",
        "job.payload.data/times",
    ]


async def test_what_breaks_no_rule_is_a_line(gateway: Gateway) -> None:
    code, told = await run_it("greet", "{}", address=gateway.address)
    assert code == 1, told
    (line,) = told.splitlines()
    assert line.startswith("FAILED_PRECONDITION: ")


async def test_it_says_how_it_is_used() -> None:
    code, told = await run_it("greet")
    assert code == 1, told
    assert told.startswith("usage: ")


async def run_it(*arguments: str, address: str = "") -> tuple[int, str]:
    """Run it as a program: its exit code, and what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "examples.plain_stubs.submit_and_watch", *arguments),
        cwd=ROOT,
        env={**os.environ, "PENSTOCK_ADDRESS": address},
        stderr=asyncio.subprocess.PIPE,
    )
    _, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stderr.decode()


async def test_it_goes_on_over_breaks(script: ScriptedGateway) -> None:
    receipt = job_service_pb2.SubmittedJob(
        job_id="job", outcome=job_service_pb2.SUBMIT_OUTCOME_REPEATED
    )
    script.on("SubmitJob", BREAK, answers(job_service_pb2.SubmitJobResponse(job=receipt)))
    script.on(
        "StreamProgress",
        writes(snapshot(), chunk(1), chunk(2), then=BREAK),
        writes(snapshot(), chunk(3)),
        writes(snapshot(), chunk(4), terminal(5)),
    )

    def use() -> list[int]:
        with grpc.insecure_channel(script.address) as channel:
            jobs = JobServiceStub(channel)
            job_id = example.submit(jobs, "t", b"{}")
            return [message.last_sequence for message in example.watch(jobs, job_id)]

    assert await asyncio.to_thread(use) == [1, 2, 3, 4, 5]
    assert len({request.job.request_id for request in script.requests["SubmitJob"]}) == 1
    assert [each.after_sequence for each in script.requests["StreamProgress"]] == [0, 2, 3]


async def test_it_gives_up_on_what_no_repetition_mends(script: ScriptedGateway) -> None:
    script.on("StreamProgress", fails(grpc.StatusCode.NOT_FOUND))

    def use() -> None:
        with grpc.insecure_channel(script.address) as channel:
            list(example.watch(JobServiceStub(channel), "job"))

    with pytest.raises(grpc.RpcError):
        await asyncio.to_thread(use)
    assert script.calls("StreamProgress") == 1
