"""A scenario: one kind of trouble, brought about for real, and what must hold in spite of it."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.result import Result

__all__ = ["Run", "Scenario", "Skipped"]


class Skipped(Exception):  # noqa: N818 - it says what happened.
    """This machine lacks what the scenario needs; the text says what."""


@dataclass
class Run:
    """What a scenario is given.

    Attributes:
        seed: decides everything that is left to chance.
        folder: its own; journals, logs, data. Kept if something is violated.
        server_binary: of Valkey or Redis.
        scale: 1 for the short run; larger ones take that many times as long, or as many jobs.
        result: to be filled in.
        say: tells whoever looks on what is going on (a line).
        faults: names of those that `mixed` strikes with; none is all.
    """

    seed: int
    folder: Path
    server_binary: Path
    scale: float
    result: Result
    say: Callable[[str], None] = field(default=lambda _text: None)
    faults: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)  # noqa: S311 - no secret.

    def scaled(self, count: float, at_least: int = 1) -> int:
        """So many at scale 1: how many they are in this run."""
        return max(at_least, round(count * self.scale))


class Scenario(ABC):
    """One kind of trouble. Its class's docstring tells readers of the record what is done.

    Attributes:
        name: of the command line.
        rows: of the fault matrix that it covers.
        expects: what must hold, in one sentence.
        seconds: how long the short run takes, about.
        has_history: whether it leaves a history that the checker judges; the others judge
            themselves what they look for.
    """

    name: ClassVar[str]
    rows: ClassVar[tuple[int, ...]]
    expects: ClassVar[str]
    seconds: ClassVar[float] = 30.0
    has_history: ClassVar[bool] = False

    @abstractmethod
    async def run(self, run: Run) -> None:
        """Brings it about, and fills in the result.

        Raises:
            Skipped: this machine cannot do it.
        """
