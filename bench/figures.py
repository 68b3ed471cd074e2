"""What a scenario measured: medians with their spread, and how they stand to their floors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Samples:
    """Repeated measurements of one thing."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle of the values."""
        return median(self.values)

    def __str__(self) -> str:
        low, high = min(self.values), max(self.values)
        return f"{_short(self.median)} [{_short(low)} to {_short(high)}]"


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the report.

    Attributes:
        scenario: which measured it.
        name: what it is.
        samples: the measurements.
        unit: of the measurements.
        at_least: floor, if there is one.
        at_most: ceiling, if there is one.
        or_else: name of another figure of the scenario whose floor does as well.
    """

    scenario: str
    name: str
    samples: Samples
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    or_else: str | None = None

    @property
    def bound(self) -> str:
        """The floor or ceiling as text; empty if there is none."""
        if self.at_least is not None:
            return f">= {_short(self.at_least)}"
        return "" if self.at_most is None else f"<= {_short(self.at_most)}"

    @property
    def met(self) -> bool | None:
        """Whether the median keeps the bound; None without one."""
        if self.at_least is not None:
            return self.samples.median >= self.at_least
        return None if self.at_most is None else self.samples.median <= self.at_most

    def as_json(self) -> dict[str, Any]:
        """The figure as a JSON-able object."""
        return asdict(self) | {"median": self.samples.median, "met": self.met}


def samples(values: Sequence[float]) -> Samples:
    """Samples of the values."""
    return Samples(tuple(values))


def ratios(values: Sequence[float], limits: Sequence[float]) -> Samples:
    """Each value as a part of the limit that was measured next to it."""
    return Samples(tuple(value / limit for value, limit in zip(values, limits, strict=True)))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def missed(figures: Sequence[Figure]) -> list[Figure]:
    """Figures that keep neither their bound nor the one that does as well."""
    kept = {(figure.scenario, figure.name) for figure in figures if figure.met}
    return [
        figure
        for figure in figures
        if figure.met is False and (figure.scenario, figure.or_else) not in kept
    ]


def _short(value: float) -> str:
    if value >= 1000:  # noqa: PLR2004 - from here on digits after the point tell nothing.
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004
