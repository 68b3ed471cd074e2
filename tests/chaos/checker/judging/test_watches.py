"""I8: what the checker says of watches that leave out, repeat or make up."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chaos.checker.judging.told import Tale, chunk, gap, refuted, state, view


class TestI8:
    """Watches tell all, once, in order."""

    BEGINNING = (state(1, "QUEUED"), state(2, "RUNNING", 1))
    END = state(3, "SUCCEEDED", 1)

    def watched(self, *events: dict[str, Any], sequence: int = 3, after: int = 0) -> set[str]:
        tale = Tale().submitted().start(1).effect(1, "chunk", "1/1 ").effect(1, "chunk", "1/2 ")
        tale.end(1).watch(*events, after=after)
        return refuted(tale.final(sequence=sequence))

    def test_all_chunks(self) -> None:
        chunks = (chunk(3, "1/1 "), chunk(4, "1/2 "))
        events = (*self.BEGINNING, *chunks, state(5, "SUCCEEDED", 1))
        assert self.watched(*events, sequence=5) == set()
        assert self.watched(*events[2:], sequence=5, after=2) == set()

    @pytest.mark.parametrize(
        "events",
        [
            (state(1, "QUEUED"), state(2, "RUNNING", 1), state(4, "SUCCEEDED", 1)),
            (state(1, "QUEUED"), state(1, "QUEUED"), state(2, "RUNNING"), state(3, "SUCCEEDED")),
            (state(2, "RUNNING", 1), state(3, "SUCCEEDED", 1)),
            (state(1, "QUEUED"), {**state(2, "RUNNING", 1), "last": 3}, state(4, "SUCCEEDED", 1)),
        ],
    )
    def test_not_tiled(self, events: tuple[dict[str, Any], ...]) -> None:
        assert self.watched(*events, sequence=events[-1]["last"]) == {"I8"}

    def test_a_gap_is_told(self) -> None:
        tale = Tale().submitted().start(1).end(1)
        tale.watch(gap(1, 2), state(3, "SUCCEEDED", 1)).final()
        assert refuted(tale, log_events=2) == set()
        assert refuted(tale) == {"I8"}

    def test_no_end(self) -> None:
        assert self.watched(*self.BEGINNING) == {"I8"}
        assert self.watched() == {"I8"}

    def test_no_end_but_the_cursor_was_there(self) -> None:
        tale = Tale().submitted().start(1).end(1)
        tale.watch({"snapshot": view(), "first": 3, "last": 3}, after=3)
        assert refuted(tale.final()) == set()

    def test_two_ends(self) -> None:
        assert "I8" in self.watched(*self.BEGINNING, self.END, state(4, "SUCCEEDED", 1))

    def test_another_end_than_it_had(self) -> None:
        assert "I8" in self.watched(*self.BEGINNING, state(3, "CANCELLED", 1))
        assert "I8" in self.watched(*self.BEGINNING, self.END, sequence=4)

    def test_no_arrow(self) -> None:
        events = (state(1, "QUEUED"), state(2, "SCHEDULED"), self.END)
        assert self.watched(*events) == {"I8"}
        assert self.watched(state(1, "RUNNING", 1), state(2, "SUCCEEDED", 1), sequence=2) == {"I8"}

    @pytest.mark.parametrize(
        "chunks",
        [
            ("1/2 ", "1/1 "),
            ("1/1 ", "1/1 "),
            ("1/2 ",),
            ("1/1 ",),
            ("1/1 ", "1/2 ", "1/3 "),
            ("1/1 ", "2/1 "),
        ],
    )
    def test_chunks(self, chunks: tuple[str, ...]) -> None:
        events = [chunk(number, text) for number, text in enumerate(chunks, 3)]
        last = 3 + len(events)
        events.append(state(last, "SUCCEEDED", 1))
        assert self.watched(*self.BEGINNING, *events, sequence=last) == {"I8"}

    def test_a_chunk_of_an_attempt_that_was_over(self) -> None:
        tale = Tale().submitted().start(1).effect(1, "chunk", "1/1 ").start(3, 2).end(3)
        tale.watch(
            *self.BEGINNING,
            state(3, "QUEUED", 1),
            state(4, "RUNNING", 2),
            chunk(5, "1/1 ", 2),
            state(6, "SUCCEEDED", 2),
        )
        end: dict[str, Any] = {"token": 3, "attempt": 2, "crashes": 1, "sequence": 6}
        assert refuted(tale.final(**end)) == {"I8"}

    def test_told_in_two_ways(self) -> None:
        tale = Tale().submitted().start(1).end(1).watch(*self.BEGINNING, self.END)
        tale.watch(state(1, "QUEUED"), state(2, "RUNNING", 2), self.END)
        assert refuted(tale.final()) == {"I8"}
