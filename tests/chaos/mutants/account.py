"""The account of all trials: what each mutant breaks, and what saw it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.chaos.mutants.mutant import Mutant
    from tests.chaos.mutants.trial import Verdict

__all__ = ["SOUND", "Row", "load", "save"]

#: In place of a mutant's name: the tree as it is.
SOUND: Final = "none"


@dataclass(frozen=True)
class Row:
    """One trial.

    Attributes:
        mutant: its name, or SOUND.
        what: it breaks, in a sentence.
        run: that was to see it.
        invariant: that saw it; '' if none did.
        text: what that said.
        seconds: how long it took.
        good: a mutant was caught, or the sound tree passed.
    """

    mutant: str
    what: str
    run: str
    invariant: str
    text: str
    seconds: float
    good: bool

    @property
    def trial(self) -> tuple[bool, str, str]:
        """What it is of; the sound tree comes first."""
        return self.mutant != SOUND, self.mutant, self.run

    @classmethod
    def of(cls, mutant: Mutant, verdict: Verdict) -> Self:
        """That of a mutant."""
        return cls(mutant.name, mutant.what, mutant.run, *_told(verdict), good=verdict.caught)

    @classmethod
    def of_sound(cls, run: str, verdict: Verdict) -> Self:
        """That of the sound tree."""
        good = not (verdict.caught or verdict.broke_off)
        return cls(SOUND, "The tree as it is.", run, *_told(verdict), good=good)


def _told(verdict: Verdict) -> tuple[str, str, float]:
    saw = "broke off" if verdict.broke_off else verdict.invariant
    return saw, verdict.text, round(verdict.seconds, 1)


def save(rows: Iterable[Row], path: Path) -> None:
    """Writes them as JSON; those of other trials that are there stay."""
    kept = {row.trial: row for row in (load(path) if path.exists() else [])}
    kept |= {row.trial: row for row in rows}
    told = [asdict(kept[trial]) for trial in sorted(kept)]
    path.write_text(json.dumps(told, indent=1) + "\n")


def load(path: Path) -> list[Row]:
    """Reads what `save` wrote."""
    return [Row(**row) for row in json.loads(path.read_text())]
