"""``penstock schedule``, against a real gateway and worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Command

KEYS = {
    "catch_up",
    "catch_up_limit",
    "create_time",
    "cron",
    "end_time",
    "every_s",
    "fired",
    "jitter_s",
    "last_job_id",
    "last_run_time",
    "missed",
    "next_run_times",
    "note",
    "overlap",
    "paused",
    "payload",
    "queue",
    "schedule_id",
    "skipped",
    "start_time",
    "time_zone",
    "tolerance_s",
    "triggered",
    "unreadable",
    "type",
    "update_time",
    "version",
}


def test_all_options_reach_the_schedule(run: Command) -> None:
    answer = run(
        *("schedule", "create", "cli-all", "echo", "--cron", "0 3 * * *"),
        *("--time-zone", "Europe/Berlin", "--end", "2090-01-01T00:00Z", "--jitter", "30s"),
        *("--overlap", "queue", "--catch-up", "all", "--catch-up-limit", "9"),
        *("--tolerance", "10s", "--note", "for the night", "--paused"),
        *("-p", '{"a": 1}', "-q", "cli-schedules", "--priority", "high", "--json"),
    )
    found = answer.json
    assert found.keys() == KEYS
    assert (found["cron"], found["time_zone"], found["every_s"]) == (
        "0 3 * * *",
        "Europe/Berlin",
        None,
    )
    assert (found["overlap"], found["catch_up"], found["catch_up_limit"]) == ("QUEUE", "ALL", 9)
    assert (found["jitter_s"], found["tolerance_s"], found["paused"]) == (30.0, 10.0, True)
    assert (found["payload"], found["queue"], found["next_run_times"]) == (
        {"a": 1},
        "cli-schedules",
        [],
    )
    (listed,) = run("schedule", "list", "-q", "cli-schedules", "--json").lines
    assert listed["schedule_id"] == "cli-all"
    assert listed.keys() == KEYS


def test_the_pauses_between_attempts_reach_the_job(run: Command) -> None:
    pauses = ("--max-attempts", "2", "--backoff", "50ms", "--backoff-jitter", "0")
    answer = run(
        *("schedule", "create", "cli-pauses", "flaky", "--every", "1h", *pauses),
        *("-p", '{"failures": 1}'),
    )
    assert answer.code == 0, answer
    watched = run("watch", run("schedule", "trigger", "cli-pauses").id)
    assert "again in 50 ms" in watched.err, watched


def test_people_are_told_in_which_zone_the_times_are(run: Command) -> None:
    create = ("schedule", "create", "cli-zone", "echo", "--cron", "0 3 * * *")
    zone = ("--time-zone", "Europe/Berlin")
    created = run(*create, *zone, TZ="Asia/Tokyo").out
    assert "0 3 * * * (Europe/Berlin)" in created
    assert ":00:00 JST (in " in created
    assert ":00:00 JST" in run("schedule", "list", TZ="Asia/Tokyo").out


@pytest.mark.parametrize(
    "command", [("create", "cli-no-zone", "echo"), ("next",), ("update", "cli-no-zone")]
)
def test_an_interval_has_no_time_zone(run: Command, command: tuple[str, ...]) -> None:
    answer = run("schedule", *command, "--every", "5m", "--time-zone", "Europe/Berlin")
    assert answer.code == 2, answer
    assert "--time-zone" in answer.err


def test_a_schedule_is_for_people(run: Command) -> None:
    answer = run("schedule", "create", "cli-people", "echo", "--every", "90s", "--note", "hello")
    assert answer.code == 0, answer
    for text in ("cli-people", "echo", "every 1m30s", "0 fired", "hello"):
        assert text in answer.out
    assert "cli-people" in run("schedule", "list").out
    assert run("schedule", "get", "cli-people").code == 0


def test_an_update_changes_what_is_given(run: Command) -> None:
    run("schedule", "create", "cli-update", "echo", "--every", "1h", "-p", "[1]", "--note", "a")
    changed = run("schedule", "update", "cli-update", "--cron", "0 5 * * *", "--json").json
    assert (changed["cron"], changed["every_s"], changed["note"]) == ("0 5 * * *", None, "a")
    assert (changed["payload"], changed["version"]) == ([1], 2)
    changed = run("schedule", "update", "cli-update", "-p", "[2]", "--overlap", "allow", "--json")
    assert (changed.json["payload"], changed.json["overlap"]) == ([2], "ALLOW")
    assert changed.json["cron"] == "0 5 * * *"


def test_pause_resume_trigger_delete(run: Command) -> None:
    run("schedule", "create", "cli-life", "echo", "--every", "1h", "-p", '"hi"')
    assert run("schedule", "pause", "cli-life").out == "cli-life is paused\n"
    job_id = run("schedule", "trigger", "cli-life").id
    assert run("watch", job_id).code == 0
    job = run("status", job_id, "--json").json
    assert (job["schedule_id"], job["occurrence_time"], job["result"]) == ("cli-life", None, "hi")
    assert "cli-life" in run("status", job_id).out
    assert run("schedule", "resume", "cli-life").out == "cli-life fires\n"
    assert run("schedule", "get", "cli-life", "--json").json["triggered"] == 1
    assert run("schedule", "delete", "cli-life").out == "cli-life is deleted\n"
    assert run("schedule", "delete", "cli-life", "--json").json == {
        "deleted": False,
        "schedule_id": "cli-life",
    }


def test_the_next_times(run: Command) -> None:
    answer = run("schedule", "next", "--cron", "0 0 1 1 *", "-n", "3", "--json")
    assert [line["run_time"][4:] for line in answer.lines] == ["-01-01T00:00:00.000+00:00"] * 3
    assert len(run("schedule", "next", "--every", "5m").out.splitlines()) == 5
    nine = ("--cron", "0 9 * * *", "--time-zone", "Asia/Tokyo")
    assert "09:00:00 JST  " in run("schedule", "next", *nine, TZ="UTC").out
    assert "00:00:00 UTC  in " in run("schedule", "next", *nine, TZ="UTC").out
    assert "09:00:00 JST  in " in run("schedule", "next", *nine, TZ="Asia/Tokyo").out
    run("schedule", "create", "cli-tokyo", "echo", *nine)
    assert "09:00:00 JST  " in run("schedule", "next", "cli-tokyo", TZ="UTC").out
    run("schedule", "delete", "cli-tokyo")
    run("schedule", "create", "cli-next", "echo", "--every", "1h")
    assert len(run("schedule", "next", "cli-next", "-n", "7").out.splitlines()) == 7


def test_what_is_refused_says_what_to_do(run: Command) -> None:
    answer = run("schedule", "create", "cli-bad", "echo", "--cron", "0 0 30 2 *")
    assert answer.code == 4, answer
    assert "spec.timing.cron.expression" in answer.err
    answer = run("schedule", "next", "--cron", "* * * * *", "--time-zone", "Mars/Olympus")
    assert "IANA" in answer.err
    answer = run("schedule", "get", "cli-nobody")
    assert answer.code == 4, answer
    assert "penstock schedule list" in answer.err
    assert run("schedule", "create", "cli-bad", "echo").code == 2
    assert run("schedule", "create", "cli-bad", "echo", "--cron", "x", "--every", "1s").code == 2
    run("schedule", "create", "cli-twice", "echo", "--every", "1h")
    assert run("schedule", "create", "cli-twice", "echo", "--every", "1h").code == 0
    answer = run("schedule", "create", "cli-twice", "echo", "--every", "2h")
    assert answer.code == 4, answer
    assert "schedule update" in answer.err
