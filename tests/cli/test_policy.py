"""Policies and cleaning, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Command


def test_a_policy_is_set_shown_listed_and_deleted(run: Command) -> None:
    options = (
        "--max-attempts", "5", "--backoff", "2s", "--attempt-timeout", "30s", "--priority", "high",
        "--concurrency", "10", "--max-waiting", "9000", "--keep-succeeded", "1h",
        "--keep-failed-count", "1000",
    )  # fmt: skip
    told = run("policy", "set", "mail", *options, "--json").json
    assert told["policy"] == {
        "max_attempts": 5,
        "backoff": {"initial_s": 2.0, "max_s": 300.0, "multiplier": 2.0, "jitter": 0.2},
        "timeout_s": 30.0,
        "priority": "HIGH",
        "concurrency": 10,
        "max_waiting": 9000,
        "succeeded": {"age_s": 3600.0, "count": None},
        "failed": {"age_s": None, "count": 1000},
    }
    run("policy", "set", "mail", "--type", "mail.welcome", "--priority", "low")
    shown = run("policy", "show", "mail", "--type", "mail.welcome", "--json").json
    assert (shown["policy"]["priority"], shown["policy"]["max_attempts"]) == ("LOW", 5)
    assert [(each["type"], each["source"]) for each in shown["sources"]] == [
        ("mail.welcome", "SET"),
        (None, "SET"),
    ]
    told = run("policy", "show", "mail", "--type", "mail.welcome").out
    assert "mail.welcome (set), over all types (set)" in told
    listed = run("policy", "list", "mail").out
    assert "mail.welcome" in listed
    assert "priority high" in listed
    for text in ("max attempts", "5", "2.0 s x 2 up to 5m00s", "1000 at most"):
        assert text in run("policy", "show", "mail").out
    details = run("queues", "stats", "mail", "--json").json
    assert details["limits"] == [{"type": None, "concurrency": 10, "running": 0, "held": 0}]
    assert (details["max_waiting"], details["durability"]) == (9000, "EVERYSEC")
    assert "all types: 0 of 10" in run("queues", "stats", "mail").out
    for job_type in ((), ("--type", "mail.welcome")):
        assert run("policy", "delete", "mail", *job_type).out.strip() == "deleted"
    assert "none" in run("policy", "delete", "mail").out
    assert "no policy" in run("policy", "list", "mail").out


def test_a_bad_policy_is_refused_with_the_field(run: Command) -> None:
    answer = run("policy", "set", "mail", "--max-attempts", "101")
    assert answer.code == 4
    assert "max_attempts" in answer.err


def test_a_submit_leaves_open_what_it_does_not_choose(run: Command) -> None:
    run("policy", "set", "left-open", "--max-attempts", "7", "--priority", "low", "--backoff", "9s")
    job_id = run("submit", "echo", "--queue", "left-open").id
    job = run("status", job_id, "--json").json
    assert (job["max_attempts"], job["priority"], job["hold_reason"]) == (7, "LOW", None)
    job_id = run("submit", "echo", "--queue", "left-open", "--priority", "default").id
    assert run("status", job_id, "--json").json["priority"] == "DEFAULT"


def test_ended_jobs_are_cleaned_and_others_are_not(run: Command) -> None:
    job_id = run("submit", "echo", "--queue", "swept").id
    assert run("cancel", job_id).code == 0
    clean = ("queues", "clean", "swept", "--state", "cancelled")
    assert run(*clean, "--older-than", "1h", "--json").json == {"queue": "swept", "removed": 0}
    assert run(*clean, given="n\n").code != 0
    assert run("status", job_id).code == 0
    unasked = run(*clean, "--json")
    assert unasked.code == 2
    assert "cleaning swept was not confirmed" in unasked.err
    asked = run(*clean, given="y\n")
    assert asked.out.strip() == "1 removed"
    assert "Remove every cancelled job of the queue swept" in asked.err
    assert run("status", job_id).code == 4
    assert run(*clean, "--yes").out.strip() == "0 removed"
    answer = run(*clean, "--older-than", "soon")
    assert answer.code == 2
    assert "Value error" not in answer.err
    assert run("queues", "clean", "swept", "--state", "queued").code == 2
    assert run("queues", "clean", "swept").code == 2
