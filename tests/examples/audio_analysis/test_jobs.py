"""Analyses as jobs: taken in, run in child processes by a fleet that changes, and tried out."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from examples.audio_analysis.fleet import Fleet
from examples.audio_analysis.jobs import ANALYZE, QUEUE, Analysis
from examples.audio_analysis.measure import STEPS
from examples.harness.stack import REPOSITORY
from penstock.client import (
    AsyncClient,
    AsyncJobHandle,
    Client,
    FailureReason,
    InvalidRequest,
    NewJob,
    ProgressEvent,
    StateEvent,
)
from tests.support.markdown import blocks_of
from tests.support.processes import free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from examples.audio_analysis.tones import Truth
    from examples.harness.stack import Stack
    from tests.examples.conftest import EndToEnd

pytestmark = pytest.mark.usefixtures("worker")


@pytest.fixture(scope="module")
def api_url(stack: Stack) -> str:
    return stack.start_web("api", "examples.audio_analysis.api:api")[1]


@pytest.fixture
def api(api_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api_url, timeout=30) as api:
        yield api


def run_module(stack: Stack, module: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"examples.audio_analysis.{module}"],
        cwd=REPOSITORY,
        env=stack.environment() | settings,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_an_analysis_tells_each_step_and_what_it_found(client: Client, truths: list[Truth]) -> None:
    handle = client.submit(ANALYZE, {"file_key": truths[0].file_key}, queue=QUEUE)
    told = [event.progress for event in handle.watch() if isinstance(event, ProgressEvent)]
    assert told, "progress is live"
    assert {progress.message for progress in told} <= set(STEPS)
    assert truths[0].agrees(handle.result(Analysis))


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"file_key": ""},
        {"file_key": "/etc/passwd"},
        {"file_key": "../secret.wav"},
        {"file_key": "a/../../secret.wav"},
        {"file_key": "a//b.wav"},
        {"file_key": "x" * 201},
        {"file_key": 1},
        {"file_key": "a.wav", "mode": "fast"},
    ],
)
def test_a_payload_that_is_none_is_refused_at_the_gate(
    client: Client, api: httpx.Client, payload: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest):
        client.submit(ANALYZE, payload, queue=QUEUE)
    assert api.post("/api/audio/analyze", json=payload).status_code == 422


def test_a_broken_file_fails_at_once_and_for_good(client: Client, broken: str) -> None:
    job = client.submit(ANALYZE, {"file_key": broken}, queue=QUEUE).wait(timeout=30)
    assert job.failure is not None
    assert (job.attempt, job.failure.reason) == (1, FailureReason.NON_RETRYABLE)
    assert "cannot be read as audio" in job.failure.message


def test_the_api_keeps_the_contract_of_the_old_system(
    api: httpx.Client, truths: list[Truth], broken: str
) -> None:
    def ended(file_key: str) -> dict[str, Any]:
        taken = api.post("/api/audio/analyze", json={"file_key": file_key})
        assert taken.status_code == 202
        url = f"/api/analyze/{taken.json()['jobId']}"
        wait_until(
            lambda: api.get(url).json()["state"] in {"completed", "failed"},
            "the analysis ends",
            within_s=30,
        )
        answer: dict[str, Any] = api.get(url).json()
        return answer

    good = ended(truths[1].file_key)
    assert (good["state"], good["progress"]) == ("completed", 100)
    assert good["data"] == {"file_key": truths[1].file_key}
    assert truths[1].agrees(Analysis.model_validate(good["result"]))
    bad = ended(broken)
    assert (bad["state"], bad["result"]) == ("failed", None)
    assert "cannot be read" in bad["failedReason"]
    assert api.post("/api/audio/analyze", json={"file_key": "none.wav"}).status_code == 404
    assert api.get("/api/analyze/nonsense").status_code == 400
    other = good["jobId"][:-1] + ("0" if good["jobId"][-1] != "0" else "1")
    assert api.get(f"/api/analyze/{other}").status_code == 404


def test_a_gateway_that_is_away_is_told_and_waited_for(stack: Stack, truths: list[Truth]) -> None:
    port = free_port()
    away = {"PENSTOCK_ADDRESS": f"127.0.0.1:{port}"}
    _, url = stack.start_web("lonely-api", "examples.audio_analysis.api:api", settings=away)
    wish = {"file_key": truths[0].file_key}
    with httpx.Client(base_url=url, timeout=30) as api:
        refused = api.post("/api/audio/analyze", json=wish)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert api.get("/health").json() == {"status": "ok", "jobs": "unavailable"}
        assert run_module(stack, "trial", **away).returncode == 3
        stack.start_gateway(f"127.0.0.1:{port}")
        wait_until(
            lambda: api.get("/health").json()["jobs"] == "ok", "the API recovers", within_s=20
        )
        assert api.post("/api/audio/analyze", json=wish).status_code == 202


def test_the_trial_tells_live_and_looks_at_the_end(stack: Stack, client: Client) -> None:
    wait_until(lambda: client.queue_stats(QUEUE).running == 0, "the queue is idle", within_s=30)
    tried = run_module(stack, "trial")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert tried.stdout.count("succeeded") >= 5
    assert "%" in tried.stdout, "it tells how far they are"
    assert "WRONG" not in tried.stdout
    client.submit(ANALYZE, {"file_key": "none.wav"}, queue=QUEUE, delay=600)
    tried = run_module(stack, "trial")
    assert tried.returncode == 1, "something is left in the queue"
    assert "WRONG nothing waits in the queue" in tried.stdout
    client.purge_queue(QUEUE)


@pytest.mark.timeout(300)
async def test_none_is_lost_and_none_ends_twice_while_workers_change(
    stack: Stack, truths: list[Truth]
) -> None:
    async with AsyncClient(stack.address) as client:
        fleet = Fleet(stack, client, {})
        await fleet.add()
        await fleet.add()
        handles = [
            handle
            for handle in await client.submit_many(
                NewJob(ANALYZE, {"file_key": truths[number % 4].file_key}, queue=QUEUE)
                for number in range(60)
            )
            if isinstance(handle, AsyncJobHandle)
        ]
        await fleet.kill()
        await fleet.remove()
        jobs = await asyncio.gather(*(handle.wait(timeout=200) for handle in handles))
        assert [job.state for job in jobs] == ["SUCCEEDED"] * 60
        assert any(job.crashes for job in jobs)
        for job in jobs:
            events = [event async for event in client.watch(job.job_id)]
            assert sum(isinstance(e, StateEvent) and e.terminal for e in events) == 1


def test_each_command_of_the_troubleshooting_page_runs(
    stack: Stack, client: Client, broken: str
) -> None:
    job = client.submit(ANALYZE, {"file_key": broken}, queue=QUEUE)
    job.wait(timeout=30)
    page = REPOSITORY / "examples/audio_analysis/TROUBLESHOOTING.md"
    commands = [
        line.removeprefix("$ ")
        for block in blocks_of(page)
        for line in block.text.splitlines()
        if block.language == "console"
    ]
    assert len(commands) > 10
    found = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # noqa: PTH120 - a string.
    for command in commands:
        done = subprocess.run(
            ["/bin/bash", "-c", command],
            cwd=REPOSITORY,
            env=stack.environment() | {"JOB_ID": job.job_id, "PATH": found},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        # The job that is watched has failed, which the exit code says.
        expected = 1 if command.startswith("penstock watch") else 0
        assert done.returncode == expected, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_whole_run_comes_out_as_planned(end_to_end: EndToEnd) -> None:
    report = end_to_end("audio_analysis")
    assert report["jobs"] == report["succeeded"] + report["failed_as_planned"]
