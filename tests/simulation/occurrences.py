"""Sees what becomes of every schedule, and holds it against what was asked for.

As the witness of jobs, it knows nothing of the scripts' insides: a step of a schedule is what its
hash and its jobs were before, and what they are after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from penstock.broker.schedule import Overlap
from tests.simulation.plans import MOST_COUNTED, Plans, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulation.clock import Clock

__all__ = ["Occurrences"]

Fields = dict[str, bytes]

#: In quiet times an occurrence is fired so soon after its time (s).
FIRED_WITHIN_S: Final = 0.8
_ALIVE: Final = frozenset({b"Q", b"S", b"R"})


@dataclass
class Occurrences:
    """Watches the schedules of one run.

    Attributes:
        clock: of the run.
        expect: notes a violation, unless it holds: (holds, invariant, text).
        plans: what was asked for.
        calm: nothing befalls anybody.
        schedules: hashes by tail, as they stand.
        fired: tails of jobs by schedule, life and occurrence.
        by_hand: tails of those without an occurrence, by schedule and life.
    """

    clock: Clock
    expect: Callable[[object, str, str], None]
    plans: Plans = field(default_factory=Plans)
    calm: bool = False
    schedules: dict[str, Fields] = field(default_factory=dict)
    fired: dict[tuple[str, int, int], str] = field(default_factory=dict)
    by_hand: dict[tuple[str, int], set[str]] = field(default_factory=dict)

    def refresh(self, schedules: dict[str, Fields]) -> None:
        """What there is now."""
        self.schedules = schedules

    def stepped(self, args: list[str], schedules: dict[str, Fields], *, known: bool) -> None:
        """After a step: what it passed over is accounted for.

        Args:
            args: of the script.
            schedules: as they stand after it.
            known: the job that it was to make was there already.
        """
        before, after = self.schedules.get(args[0]), schedules.get(args[0])
        if before is None or after is None or before.get("nx") == after.get("nx"):
            return
        spec = self._spec_of(before["j.p"])
        first_ms, next_ms = int(before["nx"]), after.get("nx")
        if spec is None:
            return
        passed = spec.count(first_ms, None if next_ms is None else int(next_ms))
        grew = {name: _number(after, name) - _number(before, name) for name in ("nf", "ns", "nm")}
        told = sum(grew.values()) + (known and args[3] != "")
        self.expect(
            told == passed or told >= MOST_COUNTED < passed,
            "occurrence",
            f"{spec.name}: from {first_ms} to {next_ms!r} there are {passed}; told of are {told}: "
            f"{grew}",
        )
        self.expect(
            not grew["nm"] or self.clock.latest_ms - first_ms > spec.tolerance_ms,
            "occurrence",
            f"{spec.name}: {first_ms} is missed, though nobody was late",
        )

    def made(self, tail: str, record: Fields, jobs: Mapping[str, Fields]) -> None:
        """A job was made by a schedule.

        Args:
            tail: of the job.
            record: of the job.
            jobs: all others.
        """
        spec = self._spec_of(record.get("p", b""))
        if spec is None:
            return
        key = spec.schedule_id, spec.life
        self.expect(
            record["sc"].decode() == spec.schedule_id,
            "I2",
            f"{tail}: {spec.name} is of {record['sc']!r}",
        )
        self.expect(key not in self.plans.ended, "schedule", f"{tail}: {spec.name} was deleted")
        current = self.plans.current.get(key, set())
        self.expect(
            spec.name in current, "schedule", f"{tail}: of {spec.name}, in place of {current}"
        )
        if "so" not in record:
            hands = self.by_hand.setdefault(key, set())
            hands.add(tail)
            asked = self.plans.by_hand.get(key, 0)
            self.expect(
                len(hands) <= asked, "I2", f"{spec.name}: {len(hands)} by hand, {asked} asked for"
            )
            return
        self._check_occurrence(tail, spec, int(record["so"]), jobs)

    def _check_occurrence(
        self, tail: str, spec: Spec, occurrence_ms: int, jobs: Mapping[str, Fields]
    ) -> None:
        key = spec.schedule_id, spec.life
        what = f"{tail}: {spec.name} at {occurrence_ms}"
        self.expect(spec.names(occurrence_ms), "occurrence", f"{what}: there is no such")
        self.expect(key not in self.plans.silent, "schedule", f"{what}: it is paused")
        first = self.fired.setdefault((*key, occurrence_ms), tail)
        self.expect(first == tail, "occurrence", f"{what}: it was {first} already")
        self.expect(
            occurrence_ms <= self.clock.latest_ms, "occurrence", f"{what}: fired before its time"
        )
        late_s = (self.clock.server_ms - occurrence_ms) / 1000
        self.expect(
            not self.calm or late_s <= FIRED_WITHIN_S,
            "prompt",
            f"{what}: fired {late_s:.2f} s late",
        )
        if spec.overlap in {Overlap.SKIP, Overlap.QUEUE}:
            others = [
                other
                for other, record in jobs.items()
                if other != tail and self._is_of(record, key) and record["s"] in _ALIVE
            ]
            self.expect(not others, "overlap", f"{what}: {others} are alive")

    def _is_of(self, record: Fields, key: tuple[str, int]) -> bool:
        """Whether a job stands for an occurrence of a schedule."""
        if "so" not in record or "rf" in record:
            return False
        spec = self._spec_of(record.get("p", b""))
        return spec is not None and (spec.schedule_id, spec.life) == key

    def _spec_of(self, payload: bytes) -> Spec | None:
        spec = self.plans.specs.get(json.loads(payload)["of"]) if payload else None
        self.expect(spec, "I2", f"nobody asked for {payload!r}")
        return spec


def _number(fields: Fields, name: str) -> int:
    return int(fields.get(name, 0))
