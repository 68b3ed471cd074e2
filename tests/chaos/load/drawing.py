"""Draws what a job is to do, and how it is submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.chaos.load.plan import FOR_EVER, QUEUE, TYPES, Plan

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["Options", "draw", "draw_options", "draw_plan", "draw_type"]

Options: TypeAlias = dict[str, Any]

#: Attempts of a job that is to succeed: outages cost some.
_MANY: Final = 30
_QUICK: Final = {"initial": 0.1, "max": 1.0}
_RETENTION_S: Final = 86_400


def draw(chance: random.Random, work: str, *, plain: bool = False) -> tuple[Plan, Options]:
    """Some work. Plain work is mostly short, and is not delayed."""
    plan, options = draw_plan(chance, work), draw_options(chance)
    shapes = _PLAIN if plain else _SHAPES
    (shape,) = chance.choices(tuple(shapes), tuple(shapes.values()))
    shape(chance, plan, options)
    return plan, options


def draw_plan(chance: random.Random, work: str) -> Plan:
    """A plan that has nothing special to it."""
    return {"work": work, "step_ms": chance.choice([0, 1, 5])}


def draw_options(chance: random.Random) -> Options:
    """Options likewise."""
    (priority,) = chance.choices(("high", "default", "low"), (1, 8, 1))
    options: Options = {
        "queue": QUEUE,
        "max_attempts": _MANY,
        "backoff": _QUICK,
        "retention": _RETENTION_S,
    }
    return options if priority == "default" else {**options, "priority": priority}


def draw_type(chance: random.Random) -> str:
    """A coroutine mostly, for the others cost more."""
    (chosen,) = chance.choices(TYPES, (16, 6, 1))
    return chosen


# The shapes of work.


def _short(_chance: random.Random, _plan: Plan, _options: Options) -> None:
    pass


def _delayed(chance: random.Random, _plan: Plan, options: Options) -> None:
    options["delay"] = chance.uniform(0.05, 3)


def _resuming(chance: random.Random, plan: Plan, _options: Options) -> None:
    plan |= {"steps": chance.randint(2, 5), "checkpoint": True, "step_ms": 20}
    plan |= {"fail": chance.randint(0, 2)}


def _failing(chance: random.Random, plan: Plan, _options: Options) -> None:
    plan |= {"fail": chance.randint(1, 3)}
    if chance.random() < 0.5:
        plan |= {"retry_ms": chance.randint(0, 500)}


def _hopeless(_chance: random.Random, plan: Plan, options: Options) -> None:
    plan |= {"fail": FOR_EVER}
    options["max_attempts"] = 2


def _expiring(chance: random.Random, plan: Plan, options: Options) -> None:
    plan |= {"hang": True}
    options["expires_in"] = chance.uniform(0.5, 3)


def _expiring_early(chance: random.Random, _plan: Plan, options: Options) -> None:
    options |= {"expires_in": chance.uniform(0.2, 2), "delay": chance.uniform(0, 2)}


def _timing_out(_chance: random.Random, plan: Plan, options: Options) -> None:
    plan |= {"hang": True}
    options |= {"timeout": 0.5, "max_attempts": 2}


def _long(chance: random.Random, plan: Plan, _options: Options) -> None:
    plan |= {"step_ms": chance.uniform(100, 1500)}


def _telling(chance: random.Random, plan: Plan, _options: Options) -> None:
    plan |= {"steps": chance.randint(2, 6), "progress": True, "chunks": True}


def _crashing(_chance: random.Random, plan: Plan, _options: Options) -> None:
    plan |= {"crash": True}


_Shape: TypeAlias = "Callable[[random.Random, Plan, Options], None]"

_SHAPES: Final[dict[_Shape, float]] = {
    _short: 44,
    _delayed: 12,
    _resuming: 12,
    _failing: 10,
    _telling: 8,
    _long: 5,
    _hopeless: 3,
    _expiring: 2,
    _expiring_early: 2,
    _timing_out: 2,
    _crashing: 0.1,
}
_PLAIN: Final[dict[_Shape, float]] = {
    _short: 90,
    _telling: 4,
    _long: 1,
    _failing: 3,
    _resuming: 2,
    _crashing: 0.02,
}
