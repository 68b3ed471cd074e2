"""What the demonstration submits, and what is to become of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from examples.demo import sources
from examples.demo.handlers import Comparison, Delivery, Inventory, Package, Prose
from examples.demo.stack import QUEUE
from penstock.client import Backoff, NewJob

__all__ = [
    "COMPARE",
    "DELIVER",
    "FINGERPRINT",
    "INVENTORY",
    "PROSE",
    "REFUSED",
    "TEXT",
    "Planned",
    "plan",
]

COMPARE: Final = "docstrings.compare"
DELIVER: Final = "notes.deliver"
FINGERPRINT: Final = "inventory.fingerprint"
PROSE: Final = "prose.write"

INVENTORY: Final = Inventory(packages=sources.packages(), pause_ms=15)
TEXT: Final = Prose(package="asyncio", seed=7)

REFUSED: Final[dict[str, Any]] = {"name": 42, "colour": "blue"}
"""A payload for sources.index with two faults: a number for a name, and a field too many."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A job, and how it is to end.

    Attributes:
        label: What it is called on the screen.
        job: What is submitted.
        state: In which it is to end.
        failures: How many of its attempts are to fail.
    """

    label: str
    job: NewJob
    state: str = "SUCCEEDED"
    failures: int = 0


def plan() -> dict[str, Planned]:
    """Return what is to be submitted, by a name of its own, in the order of the submits."""
    every = {
        COMPARE: Planned(
            "compare docstrings", _job(COMPARE, Comparison(package="asyncio")), state="CANCELLED"
        ),
        FINGERPRINT: Planned("fingerprint all", _job(FINGERPRINT, INVENTORY)),
        DELIVER: Planned(
            "deliver a note",
            _job(
                DELIVER,
                Delivery(note="third time lucky"),
                max_attempts=3,
                backoff=Backoff(initial=0.5),
            ),
            failures=2,
        ),
        PROSE: Planned("write prose", _job(PROSE, TEXT)),
        "documents.survey": Planned("survey documents", NewJob("documents.survey", queue=QUEUE)),
    }
    for name in INVENTORY.packages:
        every[f"index {name}"] = Planned(f"index {name}", _job("sources.index", Package(name=name)))
    return every


def _job(job_type: str, payload: object, **options: Any) -> NewJob:  # noqa: ANN401 - of NewJob.
    return NewJob(job_type, payload, queue=QUEUE, **options)
