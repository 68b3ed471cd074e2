"""Watching: a job's output on stdout, all else on stderr, and the exit code of its end."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from penstock.runtime.embedded import EmbeddedServer
from tests.cli.running import ROOT, clean_environment, on_a_terminal, penstock
from tests.support.processes import Fleet, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command
    from tests.cli.running import Dev

SLOW = '{"start": 600, "step_s": 60}'
QUICK = '{"start": 3, "step_s": 0}'


def test_the_output_can_be_piped_on(run: Command) -> None:
    answer = run("submit", "countdown", "-p", QUICK, "--watch")
    assert answer.code == 0, answer
    assert answer.out == "3 2 1 lift-off\n"
    assert "succeeded" in answer.err


def test_where_all_goes_to_one_file_each_line_stands_alone(dev: Dev, run: Command) -> None:
    """What a job emits need not end with a newline, and what is said of it has its own line."""
    with subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", "submit", "countdown", "-p", SLOW, "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(PENSTOCK_ADDRESS=dev.address),
        cwd=ROOT,
    ) as watching:
        assert watching.stdout is not None
        job_id = watching.stdout.readline().strip()
        label = f"countdown {job_id[-6:]}"
        assert watching.stdout.readline() == f"{label}: running attempt 1\n"
        assert watching.stdout.read(len("600 ")) == "600 "
        assert run("cancel", job_id).code == 0
        out = watching.stdout.read()
    assert watching.returncode == 1, out
    assert out.startswith(f"\n{label}: cancelled"), out


def test_a_job_that_has_ended_is_told_from_its_first_event(run: Command) -> None:
    job_id = run("submit", "countdown", "-p", QUICK, "--wait", "--json").json["job_id"]
    assert run("watch", job_id).out == "3 2 1 lift-off\n"


def test_events_as_json_tile(run: Command) -> None:
    payload = '{"failures": 2}'
    answer = run("submit", "flaky", "-p", payload, "--backoff", "10ms", "--watch", "--json")
    assert answer.code == 0, answer
    snapshot, *events = answer.lines
    assert snapshot["event"] == "snapshot"
    assert snapshot["job"]["type"] == "flaky"
    position = 0
    for event in events:
        assert event["first_sequence"] == position + 1
        position = event["last_sequence"]
    changes = [event for event in events if event["event"] == "state"]
    states = [change["state"] for change in changes]
    assert [state == "SCHEDULED" for state in states] == [bool(e["run_at"]) for e in changes]
    assert states == ["QUEUED", *["RUNNING", "SCHEDULED", "QUEUED"] * 2, "RUNNING", "SUCCEEDED"]
    assert events[-1]["job"]["result"] == "succeeded at attempt 3"
    assert events[-1]["attempt"] == 3


def test_a_terminal_keeps_each_failed_attempt_and_the_whole_last_error(
    dev: Dev, run: Command
) -> None:
    options = ("--max-attempts", "2", "--backoff", "50ms", "--backoff-jitter", "0")
    job_id = run("submit", "flaky", "-p", '{"failures": 9}', *options).id
    code, shown = on_a_terminal("watch", job_id, address=dev.address, width=50)
    assert code == 1, shown
    for text in (
        "attempt 1 failed: ConnectionError: attempt 1 fails on purpose; again in 50 ms",
        "attempt 2, exhausted: ConnectionError: attempt 2 fails on purpose",
    ):
        assert text.replace(" ", "") in shown


def test_a_log_tells_each_failed_attempt_and_when_the_next_one_is(run: Command) -> None:
    options = ("--backoff", "50ms", "--backoff-jitter", "0", "--watch")
    answer = run("submit", "flaky", "-p", '{"failures": 1}', *options)
    assert "running attempt 1\n" in answer.err
    assert "attempt 1 failed: ConnectionError: attempt 1 fails on purpose; again in " in answer.err
    assert "running attempt 2\n" in answer.err


def test_one_that_fails_among_several_is_exit_code_1(run: Command) -> None:
    good = run("submit", "countdown", "-p", QUICK).id
    bad = run("submit", "flaky", "-p", '{"failures": 9}', "--max-attempts", "1").id
    answer = run("watch", good, bad)
    assert answer.code == 1, answer
    assert "failed" in answer.err
    assert "exhausted: ConnectionError" in answer.err
    assert "3 2 1 lift-off" in answer.err  # Marked with whose it is, so not on stdout.


def test_the_watch_may_end_before_the_job(run: Command) -> None:
    job_id = run("submit", "countdown", "-p", '{"start": 600, "step_s": 1}').id
    answer = run("watch", job_id, "--timeout", "300ms")
    assert answer.code == 5, answer
    assert f"penstock watch {job_id}" in answer.err
    assert run("cancel", job_id).code == 0
    assert run("watch", job_id).code == 1


def test_a_gateway_that_goes_away_and_comes_back_is_told(tmp_path: Path) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    with EmbeddedServer(tmp_path / "data") as server, Fleet(server.url, tmp_path) as fleet:
        gateway = fleet.gateway(port)
        later = ("--allow-unregistered", "--delay", "1h")
        job_id = penstock("submit", "echo", *later, address=address).id
        with subprocess.Popen(
            [sys.executable, "-m", "penstock.cli", "watch", job_id],
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(PENSTOCK_ADDRESS=address),
            cwd=ROOT,
        ) as watching:
            assert watching.stderr is not None
            assert "scheduled due in" in watching.stderr.readline()
            gateway.kill()
            told = watching.stderr.readline()
            assert told == f"no gateway answers at {address}, trying again\n"
            fleet.gateway(port)
            assert watching.stderr.readline() == "the gateway is back, and the watch goes on\n"
            assert penstock("cancel", job_id, address=address).code == 0
            assert "cancelled" in watching.stderr.read()
    assert watching.returncode == 1
