"""The commands about jobs and queues, against a real gateway and worker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command

JOB_KEYS = {
    "attempt",
    "cached_from",
    "cancel_reason",
    "cancel_requested",
    "crashes",
    "create_time",
    "deadline",
    "failure",
    "fencing_token",
    "finish_time",
    "hold_reason",
    "job_id",
    "last_sequence",
    "max_attempts",
    "message",
    "metadata",
    "occurrence_time",
    "payload",
    "priority",
    "progress",
    "queue",
    "queue_time",
    "result",
    "retention_s",
    "retried_from",
    "run_at",
    "schedule_id",
    "start_time",
    "state",
    "timeout_s",
    "type",
    "worker_id",
}


def test_submit_prints_the_id_alone(run: Command) -> None:
    """So that a shell can take it up: ``id=$(penstock submit ...)``."""
    answer = run("submit", "echo")
    assert run("status", answer.id, "--json").json["job_id"] == answer.id
    assert answer.err == ""


def test_submit_and_wait_prints_the_result(run: Command) -> None:
    answer = run("submit", "echo", "--payload", '{"greeting": "grüß dich"}', "--wait")
    assert answer.code == 0, answer
    assert answer.json == {"greeting": "grüß dich"}


def test_a_payload_may_come_from_a_file_or_from_stdin(run: Command, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('["from", "a file"]')
    assert run("submit", "echo", "-p", f"@{file}", "--wait").json == ["from", "a file"]
    assert run("submit", "echo", "-p", "-", "--wait", given="[1]").json == [1]


def test_a_job_that_fails_is_exit_code_1(run: Command) -> None:
    answer = run("submit", "flaky", "-p", '{"failures": 9}', "--max-attempts", "1", "--wait")
    assert answer.code == 1, answer
    assert "exhausted: ConnectionError: attempt 1 fails on purpose" in answer.err


def test_all_options_reach_the_job(run: Command) -> None:
    job_id = run(
        *("submit", "echo", "--queue", "cli-options", "--priority", "high"),
        *("--delay", "1h", "--expires-in", "2d", "--attempt-timeout", "90s"),
        *("--max-attempts", "7", "--retention", "30m", "--metadata", "a=1", "-m", "b=x=y"),
    ).id
    job = run("status", job_id, "--payload", "--json").json
    assert job.keys() == JOB_KEYS
    assert (job["state"], job["queue"], job["priority"]) == ("SCHEDULED", "cli-options", "HIGH")
    assert (job["timeout_s"], job["max_attempts"], job["retention_s"]) == (90.0, 7, 1800.0)
    assert job["metadata"] == {"a": "1", "b": "x=y"}
    assert job["payload"] == {}
    assert job["create_time"] < job["run_at"] < job["deadline"]


def test_a_repeated_request_id_is_the_same_job(run: Command) -> None:
    receipts = [run("submit", "echo", "--request-id", "cli-once", "--json").json for _ in range(2)]
    assert [receipt["outcome"] for receipt in receipts] == ["CREATED", "REPEATED"]
    assert receipts[0]["job_id"] == receipts[1]["job_id"]
    assert receipts[0]["durability"] == "EVERYSEC"


def test_many_jobs_from_a_file_each_with_its_outcome(run: Command, tmp_path: Path) -> None:
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"start": 1, "step_s": 0}\n\n{"start": 0}\n{"start": 2, "step_s": 0}\n')
    answer = run("submit", "countdown", "--from-file", str(file))
    assert answer.code == 4, answer
    assert len(answer.out.split()) == 2
    assert "line 3: the request was refused: payload.data/start" in answer.err
    assert "1 of 3 were not accepted" in answer.err


def test_many_jobs_from_stdin_as_json(run: Command) -> None:
    lines = "".join(json.dumps({"number": number}) + "\n" for number in range(1500))
    answer = run("submit", "echo", "-f", "-", "--json", given=lines)
    assert answer.code == 0, answer
    assert len({line["job_id"] for line in answer.lines}) == 1500


def test_status_is_for_people(run: Command) -> None:
    job_id = run("submit", "echo", "--delay", "1h", "-m", "team=blue").id
    answer = run("status", job_id)
    assert answer.code == 0, answer
    for text in (job_id, "scheduled", "due in", "team=blue"):
        assert text in answer.out


def test_list_filters_and_pages(run: Command) -> None:
    lines = "{}\n" * 250
    run("submit", "echo", "-f", "-", "-q", "cli-list", "--delay", "1h", given=lines)
    listed = ["list", "-q", "cli-list"]
    assert len(run(*listed, "--all", "--json").lines) == 250
    assert len(run(*listed, "--limit", "7", "--json").lines) == 7
    assert "only the first 50" in run(*listed).err
    assert run(*listed, "--state", "failed", "--json").out == ""
    assert run(*listed, "--type", "flaky", "--json").out == ""
    assert len(run(*listed, "--state", "scheduled", "-t", "echo", "-n", "3", "--json").lines) == 3


def test_list_shows_the_newest_of_those_that_ended_first(run: Command) -> None:
    done = [run("submit", "echo", "-q", "default", "--wait", "--json").json for _ in range(2)]
    listed = run("list", "--state", "succeeded", "--json", "-n", "2").lines
    assert [job["job_id"] for job in listed] == [job["job_id"] for job in reversed(done)]


def test_cancel_then_retry(run: Command) -> None:
    job_id = run("submit", "echo", "--delay", "1h").id
    assert f"{job_id} cancelled" in run("cancel", job_id, "--reason", "not needed").out
    assert run("cancel", job_id).out == f"{job_id} cancelled\n"
    job = run("status", job_id, "--json").json
    assert (job["state"], job["cancel_reason"]) == ("CANCELLED", "not needed")
    receipt = run("retry", job_id, "--json").json
    assert receipt["retried_from"] == job_id
    assert run("status", receipt["job_id"], "--json").json["retried_from"] == job_id


def test_a_job_that_has_ended_is_not_cancelled(run: Command) -> None:
    job_id = run("submit", "echo", "--wait", "--json").json["job_id"]
    assert run("cancel", job_id).out == f"{job_id} stays as it is: succeeded\n"


def test_queues_are_counted(run: Command) -> None:
    run("submit", "echo", "-q", "cli-counted", "--delay", "1h")
    counts = {queue["name"]: queue for queue in run("queues", "--json").lines}
    assert counts["cli-counted"]["scheduled"] == 1
    assert counts["cli-counted"]["waiting"] == {"high": 0, "default": 0, "low": 0}
    assert "cli-counted" in run("queues").out
    assert (counts["cli-counted"]["released"], counts["cli-counted"]["misrouted"]) == (0, 0)
    details = run("queues", "stats", "cli-counted").out
    assert "lost leases" in details
    assert "misrouted" in details


def test_a_queue_is_paused_and_resumed(run: Command) -> None:
    run("submit", "echo", "-q", "cli-paused")
    assert run("queues", "pause", "cli-paused").out == "cli-paused is paused\n"
    assert run("queues", "stats", "cli-paused", "--json").json["paused"] is True
    assert run("queues", "resume", "cli-paused", "--json").json["paused"] is False


def test_a_queue_is_purged_once_it_is_confirmed(run: Command) -> None:
    run("submit", "echo", "-q", "cli-purged", "--delay", "1h")
    assert run("queues", "purge", "cli-purged", "--json").code == 2
    assert run("queues", "purge", "cli-purged", given="n\n").code == 1
    assert run("queues", "purge", "cli-purged", given="y\n").out == "1 cancelled\n"
    answer = run("queues", "purge", "cli-purged", "--yes", "--json")
    assert answer.json == {"queue": "cli-purged", "cancelled": 0}


def test_dead_letters_are_redriven(run: Command) -> None:
    failing = ("-p", '{"failures": 1}', "--max-attempts", "1", "--wait")
    assert run("submit", "flaky", *failing).code == 1
    assert run("queues", "redrive", "default", "--type", "flaky", "--json").json["redriven"] >= 1


def test_workers_are_listed(run: Command) -> None:
    (worker,) = run("queues", "workers", "default", "--json").lines
    assert worker["types"] == ["countdown", "echo", "flaky"]
    assert str(worker["pid"]) in run("queues", "workers").out


def test_the_address_may_stand_before_or_after_the_sub_command(run: Command) -> None:
    wrong = "127.0.0.1:1"
    for arguments in (("-a", wrong, "stats"), ("stats", "-a", wrong)):
        assert run("queues", *arguments).code == 3
