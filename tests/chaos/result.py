"""What a run found: the figures of the record, and the violations that refute a promise."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FaultTally", "HastyResult", "Refuted", "Result", "Violation"]


class Refuted(Exception):  # noqa: N818 - it ends a run whose question is answered.
    """Raised by a `HastyResult` at the first violation."""


@dataclass(frozen=True)
class Violation:
    """One refuted promise.

    Attributes:
        invariant: its name, I1 to I11, or the name of what a scenario expects.
        text: what is wrong, in a sentence.
        witness: the fewest lines of the history that show it, in order.
    """

    invariant: str
    text: str
    witness: tuple[str, ...] = ()


@dataclass
class FaultTally:
    """All strikes of one fault in a run.

    Attributes:
        rows: of the fault matrix.
        strikes: how often it was done; not those that met nothing.
        recovery_ms: for each strike that was followed, how long after the fault was over (or
            after a kill) the service was seen to work.
    """

    rows: list[int] = field(default_factory=list)
    strikes: int = 0
    recovery_ms: list[float] = field(default_factory=list)

    @property
    def median_ms(self) -> float | None:
        """The middle recovery time."""
        return statistics.median(self.recovery_ms) if self.recovery_ms else None

    @property
    def worst_ms(self) -> float | None:
        """The longest recovery time."""
        return max(self.recovery_ms, default=None)


@dataclass
class Result:
    """One run of one scenario.

    Attributes:
        scenario: its name.
        seed: repeats it.
        command: what a reader types to repeat it.
        server: such as "Valkey 9.1.0, appendfsync always".
        version: of Penstock, such as "0.1.0".
        commit: of the tree, such as "c31adaa" or "c31adaa-dirty"; empty where there is no git.
        date: when it began, by UTC: "2026-11-22".
        seconds: how long it took.
        jobs: how many there were; one that was acknowledged twice is one.
        operations: how many calls of each kind were made.
        faults: by name.
        figures: what else was measured, by name, with its unit: {"lost": "0 of 4000"}.
        violations: what must not be.
        misses: goals of time that were not reached: a finding on a quiet machine, and no more than
            the weather on a busy one.
        skipped: why it was not run; empty if it was.
        remark: what became of its violations; written by hand into a result that is kept.
    """

    scenario: str
    seed: int
    command: str
    server: str = ""
    seconds: float = 0.0
    jobs: int = 0
    operations: dict[str, int] = field(default_factory=dict)
    faults: dict[str, FaultTally] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)
    skipped: str = ""
    remark: str = ""
    version: str = ""
    commit: str = ""
    date: str = ""

    def tally(self, fault: str, rows: tuple[int, ...] = ()) -> FaultTally:
        """The tally of a fault, begun if it is new."""
        return self.faults.setdefault(fault, FaultTally(list(rows)))

    def expect(self, holds: object, invariant: str, text: str, *witness: str) -> None:
        """Notes a violation, unless it holds."""
        if not holds:
            self.violations.append(Violation(invariant, text, witness))

    def aim(self, holds: object, text: str) -> None:
        """Notes a goal of time that was missed, unless it holds."""
        if not holds:
            self.misses.append(text)

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        data = asdict(self)
        for tally in data["faults"].values():
            tally["recovery_ms"] = [round(each, 1) for each in tally["recovery_ms"]]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` wrote."""
        data = json.loads(path.read_text())
        data["faults"] = {name: FaultTally(**tally) for name, tally in data["faults"].items()}
        data["violations"] = [
            Violation(each["invariant"], each["text"], tuple(each["witness"]))
            for each in data["violations"]
        ]
        return cls(**data)


class HastyResult(Result):
    """A result of a run that is over with the first violation."""

    def expect(self, holds: object, invariant: str, text: str, *witness: str) -> None:
        """As every result, but that a run that has refuted a promise goes on no further.

        Raises:
            Refuted: it does not hold.
        """
        super().expect(holds, invariant, text, *witness)
        if not holds and len(self.violations) == 1:
            raise Refuted
