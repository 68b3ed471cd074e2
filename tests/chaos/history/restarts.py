"""How long jobs waited until they ran, whose workers were killed, or whose entries were taken."""

from __future__ import annotations

import statistics
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tests.chaos.history.history import History
    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.journal import Line

__all__ = ["kills_of", "repairs", "restarts", "told"]


def kills_of(lines: Iterable[Line]) -> dict[str, int]:
    """When each process was killed (ns), by its name."""
    return {line["target"]: line.at for line in lines if line.kind == "killed"}


def restarts(history: History, kills: Mapping[str, int]) -> list[float]:
    """For each job that a killed worker ran, after how long it was started elsewhere (s)."""
    return [wait_s for job in history.jobs.values() if job.starts for wait_s in _waits(job, kills)]


def repairs(history: History, lines: Iterable[Line]) -> list[float]:
    """For each job whose entry somebody took, and that ran, after how long that was (s)."""
    taken = [(line["job"], line.at) for line in lines if line.kind == "taken"]
    found = []
    for job, at in taken:
        starts = history.jobs[job].starts if job in history.jobs else ()
        ran = next((start.at for start in starts if start.at > at), None)
        if ran is not None:
            found.append((ran - at) / 1e9)
    return found


def told(waits_s: Sequence[float]) -> str:
    """Them, as a figure of the record."""
    if not waits_s:
        return "none"
    middle = statistics.median(waits_s)
    return f"{len(waits_s)} jobs, median {middle:.2f} s, worst {max(waits_s):.2f} s"


def _waits(job: JobHistory, kills: Mapping[str, int]) -> Iterable[float]:
    ended = {ending.token for ending in job.endings}
    for one, other in pairwise(job.starts):
        killed = kills.get(one.by.partition(".child-")[0])
        if killed is not None and one.token not in ended and one.at < killed < other.at:
            yield (other.at - killed) / 1e9
