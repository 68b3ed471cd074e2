"""The history: whole lines, in the order of their times, whatever was torn off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.history.journal import Journal, read_journals
from tests.chaos.result import Result

if TYPE_CHECKING:
    from pathlib import Path


def test_lines_of_all_processes_by_time(tmp_path: Path) -> None:
    with Journal(tmp_path, "client-1") as one, Journal(tmp_path, "worker-1") as other:
        one.write("call", op=1, rpc="submit")
        other.write("start", job="j", token=1)
        one.write("answer", op=1, job="j")
    lines = read_journals(tmp_path)
    assert [(line.by, line.kind) for line in lines] == [
        ("client-1", "call"),
        ("worker-1", "start"),
        ("client-1", "answer"),
    ]
    assert lines[1]["token"] == 1


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    with Journal(tmp_path, "client-1") as journal:
        journal.write("call", op=1)
        journal.write("call", op=2)
    path = tmp_path / "client-1.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    assert [line["op"] for line in read_journals(tmp_path)] == [1]


def test_a_result_is_read_as_it_was_saved(tmp_path: Path) -> None:
    result = Result("mixed", seed=7, command="python -m tests.chaos run mixed --seed 7")
    result.tally("a worker is killed", (1,)).recovery_ms += [3.0, 1.0, 2.0]
    result.expect(None, "I1", "job 7 is lost", "client-1 was told of it")
    result.expect("something", "I2", "all is well")
    result.save(tmp_path / "mixed.json")
    read = Result.load(tmp_path / "mixed.json")
    assert read == result
    assert read.faults["a worker is killed"].median_ms == 2
    assert [each.invariant for each in read.violations] == ["I1"]
