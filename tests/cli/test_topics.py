"""``penstock topic``, against a real gateway and worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.running import on_a_terminal, penstock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Command
    from tests.cli.running import Dev


@pytest.fixture
def subscribed(run: Command) -> Iterator[Command]:
    """The playground's echo wants the orders."""
    assert run("topic", "subscribe", "echo", "order.*").out == "echo wants order.*\n"
    yield run
    run("topic", "unsubscribe", "echo")


def test_publish_prints_who_got_it_and_as_what(subscribed: Command) -> None:
    answer = subscribed("topic", "publish", "order.created", "-p", '{"id": 17}')
    assert answer.code == 0, answer
    name, job_id = answer.out.split()
    assert name == "echo"
    watched = subscribed("watch", job_id, "--json")
    assert watched.code == 0
    assert watched.lines[-1]["job"]["result"] == {"id": 17}
    assert "order.created" in subscribed("status", job_id).out


def test_publishing_again_makes_no_second_job(subscribed: Command) -> None:
    command = ("topic", "publish", "order.created", "--message-id", "cli-1", "--json")
    first = subscribed(*command, "--source", "shop").json
    again = subscribed(*command, "--source", "shop").json
    assert (first["message_id"], first["topic"]) == ("cli-1", "order.created")
    assert first["jobs"][0].keys() == {
        "durability",
        "job_id",
        "outcome",
        "queue",
        "state",
        "subscription",
    }
    assert first["jobs"][0]["outcome"] == "CREATED"
    assert again["jobs"][0]["outcome"] == "REPEATED"
    assert again["jobs"][0]["job_id"] == first["jobs"][0]["job_id"]
    job = subscribed("status", first["jobs"][0]["job_id"], "--json").json
    assert job["message"].keys() == {"message_id", "source", "time", "topic"}
    assert job["message"]["source"] == "shop"
    refused = subscribed(*command, "-p", "1")
    assert refused.code == 4
    assert "MESSAGE_ID_REUSED" in refused.err
    assert "another --message-id" in refused.err


def test_a_person_is_told_of_a_message_that_nobody_works_on(dev: Dev, run: Command) -> None:
    run("topic", "subscribe", "nobody", "stray.*")
    code, shown = on_a_terminal("topic", "publish", "stray.cat", address=dev.address, width=80)
    assert code == 0, shown
    assert "warning:noworkerofqueuedefaulthandlesnobody" in shown
    assert "warning" not in run("topic", "publish", "stray.dog").err
    run("topic", "unsubscribe", "nobody")


def test_options_reach_the_jobs(subscribed: Command) -> None:
    answer = subscribed(
        "topic", "publish", "order.created", "--priority", "high", "--delay", "1h",
        "--max-attempts", "7", "--metadata", "a=b", "--json",
    )  # fmt: skip
    job = subscribed("status", answer.json["jobs"][0]["job_id"], "--json").json
    assert (job["state"], job["priority"], job["max_attempts"]) == ("SCHEDULED", "HIGH", 7)
    assert job["metadata"] == {"a": "b"}


def test_a_message_that_nobody_wants_is_said_to_be_kept_nowhere(run: Command) -> None:
    answer = run("topic", "publish", "nobody.cares")
    assert (answer.code, answer.out) == (0, "")
    assert "kept nowhere" in answer.err


def test_subscriptions_are_listed_and_ended(run: Command) -> None:
    assert run("topic", "subscribe", "b", "**", "-q", "low", "--max-attempts", "2").code == 0
    made = run("topic", "subscribe", "a", "x.*", "--priority", "high", "--json").json
    assert made == {
        "name": "a",
        "pattern": "x.*",
        "queue": None,
        "priority": "HIGH",
        "max_attempts": None,
        "create_time": made["create_time"],
    }
    assert [each["name"] for each in run("topic", "subscriptions", "--json").lines] == ["a", "b"]
    table = run("topic", "subscriptions", "--topic", "y.z").out
    assert "low" in table
    assert "x.*" not in table
    assert run("topic", "unsubscribe", "a", "--json").json == {"name": "a", "deleted": True}
    assert run("topic", "unsubscribe", "b").out == "b is no more\n"
    assert run("topic", "unsubscribe", "b").out == "there was no subscription b\n"
    assert "no subscription" in run("topic", "subscriptions").out


def test_rules_are_set_and_listed(run: Command, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}')
    made = run(
        "topic", "set-rule", "order.*", "-q", "high", "--priority", "low", "--max-attempts", "5",
        "--backoff", "1s", "--retention", "1m", "--schema", f"@{schema}", "--json",
    )  # fmt: skip
    assert made.code == 0, made
    rule = made.json
    assert rule["backoff"] == {"initial_s": 1.0, "max_s": 300.0, "multiplier": 2.0, "jitter": 0.2}
    assert (rule["schema"], rule["retention_s"]) == ({"type": "object"}, 60.0)
    assert run("topic", "set-rule", "**", "--queue", "low").out == "the rule of ** is set\n"
    listed = run("topic", "rules", "--topic", "order.created", "--json").lines
    assert [each["pattern"] for each in listed] == ["order.*", "**"]
    assert "order.*" in run("topic", "rules").out
    refused = run("topic", "publish", "order.created", "-p", "[]")
    assert refused.code == 4
    assert "the rule of order.*" in refused.err
    assert run("topic", "delete-rule", "**", "--json").json == {"pattern": "**", "deleted": True}
    assert run("topic", "delete-rule", "order.*").out == "order.* has no rule now\n"
    assert run("topic", "delete-rule", "order.*").out == "order.* had no rule\n"
    assert "no rule" in run("topic", "rules").out


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("subscribe", "a", "b*"), 4, "whole segments"),
        (("publish", "order.*"), 4, "one topic"),
        (("publish", "a", "-p", "{"), 2, "no JSON"),
        (("publish", "a", "--metadata", "x"), 2, "KEY=VALUE"),
        (("set-rule", "a", "--schema", "[]"), 2, "no JSON object"),
        (("set-rule", "a", "--schema", '{"type": "x"}'), 4, "rule.json_schema"),
        (("publish",), 2, "TOPIC"),
    ],
)
def test_what_is_wrong_is_said(
    run: Command, arguments: tuple[str, ...], code: int, text: str
) -> None:
    answer = run("topic", *arguments)
    assert answer.code == code, answer
    assert text in answer.err


def test_alone_it_shows_its_commands() -> None:
    answer = penstock("topic")
    assert "publish" in answer.out + answer.err
