"""A siege: round after round of requests by chance, until enough is done or something is found."""

from __future__ import annotations

import json
import math
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from penstock.runtime._probe import ask
from tests.fuzz.forge import Forge
from tests.fuzz.target import METHODS, Finding, target_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.runtime.embedded import EmbeddedServer
    from tests.fuzz.target import Target

__all__ = ["ROUND", "Siege"]

#: Requests of a round, after which the server is emptied.
ROUND: Final = 2_000
#: Every so many requests, workers do something.
_WORK_EVERY: Final = 25
#: Methods that take away what others need are asked more seldom.
_SELDOM: Final = {"CleanQueue": 0.5, "PauseQueue": 0.5, "PurgeQueue": 0.2}
#: In every so many rounds the house is kept, and writes cannot be laid to calls.
_KEPT_EVERY: Final = 4
_MOST_FINDINGS: Final = 20

_WEIGHTS: Final = [
    0.2 if method.name.startswith("Delete") else _SELDOM.get(method.name, 1.0) for method in METHODS
]


@dataclass
class Siege:
    """What was done so far.

    Attributes:
        seed: repeats it, as far as ids and times do not matter.
        outcomes: how often each method ended with each status.
        findings: the first of each kind.
        rounds: how many are over.
        seconds: how long it took.
    """

    seed: int
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    rounds: int = 0
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many were made."""
        return self.outcomes.total()

    @property
    def kinds(self) -> int:
        """How many distinct outcomes there were: pairs of method and status."""
        return len(self.outcomes)

    async def run(
        self,
        server: EmbeddedServer,
        *,
        say: Callable[[str], None],
        seconds: float = math.inf,
        rounds: float = math.inf,
    ) -> None:
        """Goes on for so long, to the end of a round; stops early where too much is wrong.

        Args:
            server: is emptied again and again.
            say: is told after each round.
            seconds: how long.
            rounds: how many, however long they take.
        """
        begun = time.monotonic()
        while (
            self.seconds < seconds and self.rounds < rounds and len(self.findings) < _MOST_FINDINGS
        ):
            ask(server.socket_path, "FLUSHALL", timeout_s=30)
            chance = random.Random(f"{self.seed} {self.rounds}")  # noqa: S311 - no secret.
            quiet = self.rounds % _KEPT_EVERY != _KEPT_EVERY - 1
            async with target_on(server.url, quiet=quiet) as target:
                await self._round(target, chance)
            self.rounds += 1
            self.seconds = time.monotonic() - begun
            say(str(self))

    async def _round(self, target: Target, chance: random.Random) -> None:
        forge = Forge(chance)
        for number in range(ROUND):
            if number % _WORK_EVERY == 0:
                await target.work(chance)
            (method,) = chance.choices(METHODS, _WEIGHTS)
            request = forge.request(method.input_type)
            answer, fault = await target.ask(method, request)
            if fault:
                self._note(Finding(method.full_name, request, fault))
            if answer is not None:
                forge.learn(answer)
        self.outcomes += target.outcomes
        if fault := await target.still_answers():
            self._note(Finding("", b"", fault))

    def _note(self, finding: Finding) -> None:
        alike = (finding.method, finding.fault[:40])
        if all((known.method, known.fault[:40]) != alike for known in self.findings):
            self.findings.append(finding)

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.requests} requests in {self.seconds:.0f} s and "
            f"{self.rounds} rounds, {self.kinds} distinct outcomes, {len(self.findings)} findings"
        )

    def as_json(self) -> str:
        """All of it, for the record."""
        by_method: dict[str, dict[str, int]] = {}
        for (method, code), count in sorted(self.outcomes.items()):
            by_method.setdefault(method, {})[code] = count
        told: dict[str, Any] = {
            "seed": self.seed,
            "seconds": round(self.seconds),
            "rounds": self.rounds,
            "requests": self.requests,
            "distinct_outcomes": self.kinds,
            "findings": [
                {"method": each.method, "request": each.request.hex(), "fault": each.fault}
                for each in self.findings
            ],
            "outcomes": by_method,
        }
        return json.dumps(told, indent=1)
