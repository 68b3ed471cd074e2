"""The checker is hard to fool: good histories with one line changed, and what becomes of each.

Every line of every good history is tried in turn, so that no promise is checked for some of its
evidence only. What does not contradict anything must pass: a checker that cries wolf is worth
nothing either.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.checker.checker import check
from tests.chaos.checker.judging.tales import GOOD
from tests.chaos.checker.scene import Expectations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.chaos.history.journal import Line

#: The calls whose answers are lost in turn.
RPCS = (
    *("submit", "retry", "status", "wait", "cancel", "watch"),
    *("publish", "subscribe", "unsubscribe"),
    *("create", "update", "pause", "resume", "get", "trigger", "delete"),
)
_TERMINAL = {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED"}


def is_refuted(lines: Sequence[Line]) -> bool:
    return bool(check(lines, expectations=Expectations(least={})))


def edited(line: Line, **fields: object) -> Line:
    return replace(line, fields={**line.fields, **fields})


def view_of(line: Line) -> dict[str, Any] | None:
    """The view that a line shows, if it shows one."""
    fields = line.fields.get("view") or line.fields.get("snapshot") or line.fields
    return fields if "sequence" in fields else None


def with_view(line: Line, **told: object) -> Line:
    for name in ("view", "snapshot"):
        if line.fields.get(name):
            return edited(line, **{name: {**line.fields[name], **told}})
    return edited(line, **told)


def everywhere(mutate: Callable[[Line], Line | None]) -> Iterator[tuple[str, list[Line]]]:
    """Each good history, with one line put in the place of another wherever that can be done."""
    for name, tale in GOOD.items():
        lines = tale().lines
        for position, line in enumerate(lines):
            changed = mutate(line)
            if changed is not None:
                yield f"{name}: {changed}", [*lines[:position], changed, *lines[position + 1 :]]


def another_outcome(line: Line) -> Line | None:
    view = view_of(line)
    if view is None or view["state"] not in _TERMINAL:
        return None
    other = "CANCELLED" if view["state"] != "CANCELLED" else "SUCCEEDED"
    return with_view(line, state=other, reason=None)


def another_result(line: Line) -> Line | None:
    view = view_of(line)
    if view is None or not view.get("result"):
        return None
    return with_view(line, result={**view["result"], "token": 99})


def another_figure(line: Line) -> Line | None:
    """Of an outcome that several were shown: alone, a higher token is no contradiction."""
    view = view_of(line)
    if view is None or view["state"] not in _TERMINAL or view["job"] != "j":
        return None
    changed = ("token", "attempt", "crashes", "sequence")[line.at // 1_000_000 % 4]
    return with_view(line, **{changed: view[changed] + 1})


def other_work(line: Line) -> Line | None:
    return edited(line, payload={"work": "other"}) if line.kind in ("start", "final") else None


def another_job(line: Line) -> Line | None:
    if line.kind in ("start", "end", "final"):
        return edited(line, job="other")
    if line.kind == "answer" and line.fields.get("jobs"):
        receipt = line["jobs"][0]
        return edited(line, jobs=[{**receipt, "job": "other"}]) if "job" in receipt else None
    return None


def another_chunk(line: Line) -> Line | None:
    return edited(line, chunk="99/1 ") if line.fields.get("chunk") else None


def another_range(line: Line) -> Line | None:
    if line.kind != "event" or line.fields.get("snapshot"):
        return None
    return edited(line, first=line["first"] + 1, last=line["last"] + 1)


def another_checkpoint(line: Line) -> Line | None:
    if line.fields.get("what") != "resumed":
        return None
    return edited(line, value={"token": 99, "step": 1})


def another_state_told(line: Line) -> Line | None:
    if line.kind != "event" or not line.fields.get("state"):
        return None
    return edited(line, state="RUNNING" if line["state"] != "RUNNING" else "EXPIRED")


def another_token(line: Line) -> Line | None:
    return edited(line, token=99) if line.kind in ("start", "end") else None


@pytest.mark.parametrize(
    "mutate",
    [
        another_outcome,
        another_result,
        another_figure,
        other_work,
        another_job,
        another_chunk,
        another_range,
        another_checkpoint,
        another_state_told,
        another_token,
    ],
    ids=lambda mutate: mutate.__name__,
)
def test_a_line_that_contradicts_the_others_is_found(
    mutate: Callable[[Line], Line | None],
) -> None:
    tried = dict(everywhere(mutate))
    assert tried
    assert [told for told, lines in tried.items() if not is_refuted(lines)] == []


def without(chosen: Callable[[Line], bool]) -> Iterator[tuple[str, list[Line]]]:
    """Each good history without one of the lines that are chosen."""
    for name, tale in GOOD.items():
        lines = tale().lines
        for position, line in enumerate(lines):
            if chosen(line):
                yield f"{name}: {line}", [*lines[:position], *lines[position + 1 :]]


def is_evidence(line: Line) -> bool:
    """Whether its loss must be noticed."""
    if line.kind == "event":
        return "snapshot" not in line.fields
    return line.kind == "final" or (line.kind, line.fields.get("how")) == ("end", "return")


def test_a_line_that_is_missing_is_found() -> None:
    tried = dict(without(is_evidence))
    assert len(tried) > 20
    assert [told for told, lines in tried.items() if not is_refuted(lines)] == []


def test_a_start_that_is_missing_is_found_where_anything_came_of_it() -> None:
    for name, tale in GOOD.items():
        lines = tale().lines
        done = {(each["job"], each["token"]) for each in lines if each.kind == "end"}
        for start in [each for each in lines if each.kind == "start"]:
            if (start["job"], start["token"]) in done:
                assert is_refuted([each for each in lines if each is not start]), name


@pytest.mark.parametrize("kind", ["start", "end", "event"])
def test_a_line_that_is_there_twice_is_found(kind: str) -> None:
    for name, tale in GOOD.items():
        lines = tale().lines
        for position, line in enumerate(lines):
            if line.kind == kind and "snapshot" not in line.fields:
                doubled = [*lines[: position + 1], line, *lines[position + 1 :]]
                assert is_refuted(doubled), f"{name}: {line}"


def test_events_in_another_order_are_found() -> None:
    tried = 0
    for tale in GOOD.values():
        lines = tale().lines
        for position in range(1, len(lines)):
            one, two = lines[position - 1 : position + 1]
            if one.kind == two.kind == "event" and "snapshot" not in one.fields:
                swapped = [*lines[: position - 1], two, one, *lines[position + 1 :]]
                assert is_refuted(swapped), f"{one} and {two}"
                tried += 1
    assert tried > 5


# What must pass.


def answers(lines: Sequence[Line], *rpcs: str) -> list[Line]:
    """The answers to calls of some kinds."""
    ops = {line["op"] for line in lines if line.kind == "call" and line["rpc"] in rpcs}
    return [line for line in lines if line.kind == "answer" and line["op"] in ops]


@pytest.mark.parametrize("name", GOOD)
def test_an_answer_that_never_came_contradicts_nothing(name: str) -> None:
    lines = GOOD[name]().lines
    for lost in answers(lines, *RPCS):
        rest = [line for line in lines if line is not lost]
        assert check(rest, expectations=Expectations(least={})) == [], lost
        failed = replace(
            lost,
            kind="error",
            fields={"op": lost["op"], "code": "UNAVAILABLE", "sure": False},
        )
        rest = [failed if line is lost else line for line in lines]
        assert check(rest, expectations=Expectations(least={})) == [], lost


@pytest.mark.parametrize("name", GOOD)
def test_a_watch_that_was_broken_off_contradicts_nothing(name: str) -> None:
    lines = GOOD[name]().lines
    for watch in [line for line in lines if line.kind == "call" and line["rpc"] == "watch"]:
        told = [line for line in lines if line.kind == "event" and line["op"] == watch["op"]]
        (answer,) = (line for line in answers(lines, "watch") if line["op"] == watch["op"])
        for heard in range(len(told)):
            gone = {id(line) for line in (*told[heard:], answer)}
            rest = [line for line in lines if id(line) not in gone]
            assert check(rest, expectations=Expectations(least={})) == []


@pytest.mark.parametrize("name", GOOD)
def test_a_worker_that_was_killed_before_it_was_done_is_no_contradiction(name: str) -> None:
    """Only the outcome that was accepted needs its handler; the others may be torn off."""
    lines = GOOD[name]().lines
    accepted = {(line["job"], line["token"]) for line in lines if line.kind == "final"}
    for end in [line for line in lines if line.kind == "end"]:
        if (end["job"], end["token"]) not in accepted:
            rest = [line for line in lines if line is not end]
            threads = Expectations(least={}, coroutines=frozenset())
            assert check(rest, expectations=threads) == [], end
