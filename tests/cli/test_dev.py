"""``penstock dev``: all in one terminal, nothing lost between two runs, nothing left behind."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.cli.running import Dev, penstock
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path


def test_jobs_survive_a_restart(tmp_path: Path) -> None:
    with Dev(tmp_path) as dev:
        waiting = penstock("submit", "echo", "--delay", "1h", address=dev.address).id
        done = penstock("submit", "echo", "-p", "[1]", "--wait", "--json", address=dev.address).json
        assert dev.stop() == 0
        dev.start()
        jobs = penstock("status", waiting, done["job_id"], "--json", address=dev.address).lines
        assert [job["state"] for job in jobs] == ["SCHEDULED", "SUCCEEDED"]
        assert jobs[1]["result"] == [1]


def test_a_running_job_may_finish_when_it_is_told_to_stop(tmp_path: Path) -> None:
    with Dev(tmp_path) as dev:
        payload = '{"start": 20, "step_s": 0.2}'
        job_id = penstock("submit", "countdown", "-p", payload, address=dev.address).id
        _await_state(dev, job_id, "RUNNING")
        assert dev.stop(signal.SIGINT) == 0
        dev.start()
        job = penstock("status", job_id, "--json", address=dev.address).json
        assert (job["state"], job["attempt"]) == ("SUCCEEDED", 1)


def test_told_twice_it_stops_at_once_and_the_job_goes_on_later(tmp_path: Path) -> None:
    with Dev(tmp_path) as dev:
        payload = '{"start": 600, "step_s": 0.1}'
        job_id = penstock("submit", "countdown", "-p", payload, address=dev.address).id
        _await_state(dev, job_id, "RUNNING")
        pids = dev.report["pids"].values()
        dev.process.send_signal(signal.SIGINT)
        wait_until(lambda: "draining" in dev.log.read_text(), "it drains", within_s=20)
        assert dev.stop(signal.SIGINT) == 130
        lines = dev.log.read_text().splitlines()
        assert "worker-1 | killed, as it had not stopped yet" in lines
        assert not [line for line in lines if line.startswith("{")], "it is for people"
        assert not any(map(_lives, pids))
        dev.start()
        job = penstock("cancel", job_id, "--json", address=dev.address).json
        assert job["state"] in {"RUNNING", "CANCELLED"}


def test_killed_it_leaves_no_process_and_loses_no_job(tmp_path: Path) -> None:
    with Dev(tmp_path, "--workers", "2") as dev:
        job_id = penstock("submit", "echo", "--delay", "1h", address=dev.address).id
        pids = dev.report["pids"].values()
        assert len(pids) == 3
        dev.process.kill()
        dev.ended()
        wait_until(lambda: not any(map(_lives, pids)), "its processes are gone", within_s=30)
        dev.start()
        assert penstock("status", job_id, address=dev.address).code == 0


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    with Dev(tmp_path) as dev:
        os.kill(dev.report["pids"]["worker-1"], signal.SIGKILL)
        answer = penstock("submit", "echo", "-p", "1", "--wait", address=dev.address)
        assert answer.json == 1
        assert "ended with exit code -9" in dev.log.read_text()


def test_a_gateway_that_dies_is_back_at_its_address(tmp_path: Path) -> None:
    with Dev(tmp_path) as dev:
        job_id = penstock("submit", "echo", "--delay", "1h", address=dev.address).id
        os.kill(dev.report["pids"]["gateway"], signal.SIGKILL)
        wait_until(
            lambda: penstock("status", job_id, address=dev.address).code == 0,
            "the gateway answers again",
            within_s=20,
        )


def test_it_uses_the_redis_that_is_configured(tmp_path: Path, redis_url: str) -> None:
    with Dev(tmp_path, "--redis-url", redis_url) as dev:
        assert dev.report["redis_url"] == redis_url
        assert dev.report["data_dir"] is None
        assert not dev.data_dir.exists()
        assert penstock("submit", "echo", "--wait", address=dev.address).code == 0


def _await_state(dev: Dev, job_id: str, state: str) -> None:
    wait_until(
        lambda: penstock("status", job_id, "--json", address=dev.address).json["state"] == state,
        f"the job is {state}",
        within_s=20,
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
