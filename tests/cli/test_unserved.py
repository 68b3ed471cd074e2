"""Jobs that nobody would run now, batches seen to their ends, and a gateway without its Redis."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from penstock.cli.unserved import reason_unserved
from penstock.client import WorkerInfo
from penstock.runtime.embedded import EmbeddedServer
from tests.cli.running import ROOT, clean_environment, penstock
from tests.support.processes import Fleet, free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command
    from tests.cli.running import Dev


def worker(*queues: str, draining: bool = False) -> WorkerInfo:
    """A worker with one handler."""
    now = datetime.now(UTC)
    return WorkerInfo("w", "host", 1, queues, ("echo",), 1, 0, draining, now, now)


def test_the_warning_says_what_is_served() -> None:
    assert reason_unserved([worker("mail"), worker("default")], "default", "echo") == ""
    text = reason_unserved([worker("mail"), worker("default")], "reports", "echo")
    assert text == "no worker serves queue reports now; workers serve: default, mail"
    assert "they handle: echo" in reason_unserved([worker("mail")], "mail", "letter")


def test_a_draining_worker_serves_nothing() -> None:
    text = reason_unserved([worker("mail", draining=True)], "mail", "echo")
    assert "penstock worker MODULE:APP --queue mail" in text


def test_who_submits_a_job_that_nobody_runs_is_told(run: Command) -> None:
    command = ("submit", "echo", "-q", "cli-unserved")
    answer = run(*command, "--wait", "--timeout", "200ms")
    assert answer.code == 5, answer
    assert "no worker serves queue cli-unserved now; workers serve: default" in answer.err
    plain = run(*command)
    assert plain.id
    assert "no worker serves queue cli-unserved now; workers serve: default" in plain.err
    assert run(*command, "--json").err == ""
    assert run(*command, "--watch", "--json", "--timeout", "200ms").err.count("\n") == 1


def test_a_batch_that_is_waited_for_prints_each_result(run: Command) -> None:
    lines = "".join(f"[{number}]\n" for number in range(30))
    batch = ("submit", "echo", "-f", "-", "--wait")
    answer = run(*batch, given=lines)
    assert answer.code == 0, answer
    assert answer.lines == [[number] for number in range(30)]
    assert len({len(job_id) for job_id in answer.err.split()}) == 1
    jobs = run(*batch, "--json", given=lines).lines
    assert [job["result"] for job in jobs] == answer.lines
    assert answer.err.split()[0] not in {job["job_id"] for job in jobs}


def test_a_batch_with_a_failure_is_exit_code_1_and_names_it(run: Command) -> None:
    lines = "".join(json.dumps({"failures": number}) + "\n" for number in (0, 1))
    answer = run("submit", "flaky", "--max-attempts", "1", "-f", "-", "--wait", given=lines)
    assert answer.code == 1, answer
    assert answer.out == '"succeeded at attempt 1"\n'
    assert "failed: exhausted: ConnectionError" in answer.err


def test_a_batch_that_takes_too_long_is_exit_code_5(run: Command) -> None:
    batch = ("submit", "echo", "--delay", "1h", "-f", "-", "--wait", "--timeout", "300ms")
    answer = run(*batch, given="1\n2\n")
    assert answer.code == 5, answer
    assert "2 of 2 jobs are not done after 0.3 s" in answer.err


@pytest.mark.parametrize("jobs", [(), ("-f", "-")], ids=["one", "a batch"])
def test_who_stops_waiting_is_told_how_to_watch_again(
    run: Command, dev: Dev, jobs: tuple[str, ...]
) -> None:
    queue = f"cli-stopped-{len(jobs)}"
    command = ("submit", "echo", "-q", queue, "--wait", *jobs)
    with subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(PENSTOCK_ADDRESS=dev.address),
        cwd=ROOT,
    ) as waiting:
        assert waiting.stdin is not None
        assert waiting.stderr is not None
        waiting.stdin.write("1\n")
        waiting.stdin.close()
        waiting.stdin = None
        assert "no worker serves queue" in waiting.stderr.readline()
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=30)
    job_id = run("list", "-q", queue, "--json").json["job_id"]
    assert (waiting.returncode, out) == (130, "")
    told = f"error: stopped; the work goes on, see it with: penstock watch {job_id}"
    assert err.splitlines()[-1] == told
    assert err.count("penstock watch") == 1


def test_a_gateway_without_its_redis_is_heard_out(tmp_path: Path) -> None:
    server = EmbeddedServer(tmp_path / "data")
    port = free_port()
    with server, Fleet(server.url, tmp_path) as fleet:
        fleet.gateway(port)
        at = ("--address", f"127.0.0.1:{port}")
        wait_until(lambda: penstock("health", *at).code == 0, "the gateway is ready", within_s=20)
        server.kill()
        answer = penstock("submit", "echo", "--allow-unregistered", *at)
    assert answer.code == 3, answer
    assert "Its Redis is down" in answer.err


def test_an_unknown_queue_is_not_told_of_retention(run: Command) -> None:
    answer = run("queues", "stats", "cli-nowhere")
    assert answer.code == 4, answer
    assert "`penstock queues` lists them" in answer.err
    assert "retention" not in answer.err


def test_purging_without_anybody_to_ask_mentions_yes(run: Command) -> None:
    run("submit", "echo", "-q", "cli-unasked", "--delay", "1h")
    answer = run("queues", "purge", "cli-unasked")
    assert answer.code == 2, answer
    assert "--yes" in answer.err
