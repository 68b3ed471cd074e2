"""The result cache on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Command


def test_the_outcome_tells_whether_a_job_ran(run: Command) -> None:
    command = ("submit", "echo", "-p", '{"cli": "outcome"}', "--cache-ttl", "5m")
    first = run(*command, "--wait", "--json").json
    assert (first["state"], first["cached_from"]) == ("SUCCEEDED", None)
    receipt = run(*command, "--json").json
    assert (receipt["outcome"], receipt["state"]) == ("CACHED", "SUCCEEDED")
    hit = run("status", receipt["job_id"])
    assert "cached from" in hit.out
    assert first["job_id"] in hit.out
    skipped = run(*command, "--skip-cache", "--json").json
    assert skipped["outcome"] == "CREATED"
    counts = run("queues", "stats", "--json").json
    assert counts["cache_hits"] >= 1
    assert counts["cache_misses"] >= 1
    assert counts["cache_joined"] == 0
    assert " hits, " in run("queues", "stats").out


@pytest.mark.parametrize(
    "named",
    [
        ("--tag", "cli-tag", "--tag", "other"),
        ("echo",),
        ("echo", "--payload", '{"b": [2], "a": 1}'),
    ],
    ids=["tag", "type", "payload"],
)
def test_what_is_invalidated_runs_anew(run: Command, named: tuple[str, ...]) -> None:
    policy = ("--cache-ttl", "5m", "--cache-tag", "cli-tag")
    command = ("submit", "echo", "-p", '{"a": 1, "b": [2]}', *policy)
    run(*command, "--wait")
    assert run(*command, "--json").json["outcome"] == "CACHED"
    answer = run("cache", "invalidate", *named)
    assert (answer.code, answer.out) == (0, "invalidated\n")
    assert run(*command, "--wait", "--json").json["cached_from"] is None


def test_a_key_names_work(run: Command) -> None:
    command = ("submit", "echo", "--cache-ttl", "5m", "--cache-key", "k")
    run(*command, "-p", "1", "--wait")
    assert run(*command, "-p", "2", "--wait").json == 1
    told = run("cache", "invalidate", "echo", "--key", "k", "--json").json
    assert told == {"type": "echo", "key": "k", "tags": []}
    assert run(*command, "-p", "2", "--wait").json == 2


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        (("cache", "invalidate"), "a --tag"),
        (("cache", "invalidate", "--key", "k"), "give its TYPE"),
        (("cache", "invalidate", "echo", "--key", "k", "-p", "1"), "give one of them"),
        (("submit", "echo", "--cache-key", "k"), "--cache-ttl"),
    ],
)
def test_what_makes_no_sense_is_a_wrong_argument(
    run: Command, command: tuple[str, ...], hint: str
) -> None:
    answer = run(*command)
    assert answer.code == 2, answer
    assert hint in answer.err


def test_a_refusal_names_the_field(run: Command) -> None:
    answer = run("submit", "echo", "--cache-ttl", "5m", "--idempotency-key", "k")
    assert answer.code == 4, answer
    assert "idempotency_key" in answer.err
    answer = run("cache", "invalidate", "--tag", "x" * 129)
    assert answer.code == 4, answer
    assert "targets[0].tag" in answer.err
