"""The checker: proves or refutes each promise by the history of a run, off-line.

It knows what clients asked for and were told, what handlers did, and what the server holds at the
end; of the service itself it knows nothing. A call without an answer may have been done, or not,
or may be done later: whatever is possible then is permitted, and nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, TypeAlias

from tests.chaos.checker.invariants.attempts import (
    attempts_are_bounded,
    checkpoints_are_kept,
    times_are_kept,
)
from tests.chaos.checker.invariants.failures import (
    calls_fail_as_documented,
    calls_fail_in_outages,
    waits_end,
    what_was_acknowledged_is_found,
)
from tests.chaos.checker.invariants.occurrences import occurrences_are_accounted_for
from tests.chaos.checker.invariants.outcomes import (
    one_outcome,
    outcome_of_the_last_grant,
    tokens_rise,
)
from tests.chaos.checker.invariants.quiet import (
    data_are_sound,
    durability_was_promised,
    enough_was_done,
    nothing_is_left,
)
from tests.chaos.checker.invariants.schedules import (
    occurrences_are_one_job,
    only_what_stands_fires,
    overlaps_are_kept,
    schedules_are_as_told,
)
from tests.chaos.checker.invariants.storage import (
    jobs_end,
    jobs_end_as_planned,
    no_job_is_lost,
    no_phantoms,
    one_job_a_request,
)
from tests.chaos.checker.invariants.topics import message_ids_stand_for_one, messages_reach_all
from tests.chaos.checker.invariants.views import cancels_hold, versions_agree, views_are_current
from tests.chaos.checker.invariants.watches import (
    chunks_are_the_handlers,
    watches_agree,
    watches_tell_all,
)
from tests.chaos.checker.scene import Expectations, Scene
from tests.chaos.history.history import History
from tests.chaos.result import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.chaos.history.job import JobHistory
    from tests.chaos.history.journal import Line

__all__ = ["PROMISES", "check", "judge"]

_OfJob: TypeAlias = "Callable[[Scene, JobHistory], Iterator[Violation]]"
_OfRun: TypeAlias = "Callable[[Scene], Iterator[Violation]]"

_OF_RUNS: Final[tuple[_OfRun, ...]] = (
    enough_was_done,
    durability_was_promised,
    what_was_acknowledged_is_found,
    one_job_a_request,
    messages_reach_all,
    message_ids_stand_for_one,
    occurrences_are_one_job,
    only_what_stands_fires,
    overlaps_are_kept,
    occurrences_are_accounted_for,
    schedules_are_as_told,
    calls_fail_as_documented,
    calls_fail_in_outages,
    waits_end,
    data_are_sound,
    nothing_is_left,
)
_OF_JOBS: Final[tuple[_OfJob, ...]] = (
    no_job_is_lost,
    jobs_end,
    jobs_end_as_planned,
    no_phantoms,
    one_outcome,
    outcome_of_the_last_grant,
    tokens_rise,
    versions_agree,
    views_are_current,
    cancels_hold,
    watches_tell_all,
    watches_agree,
    chunks_are_the_handlers,
    attempts_are_bounded,
    checkpoints_are_kept,
    times_are_kept,
)


def _promise(refute: Callable[..., object]) -> tuple[str, str]:
    """Name and sentence, from the first line of a docstring: "I1: what was acknowledged ..."."""
    name, _, text = (refute.__doc__ or "").strip().partition("\n")[0].partition(": ")
    return name, text


def _rank(promise: tuple[str, str]) -> tuple[int, str]:
    """I2 before I10, and those without a number last."""
    name = promise[0]
    return (int(name[1:]), "") if name[1:].isdigit() else (99, name)


_ALL: Final[tuple[Callable[..., object], ...]] = (*_OF_RUNS, *_OF_JOBS)
#: What is looked for: the invariant, and a sentence.
PROMISES: Final = tuple(sorted(map(_promise, _ALL), key=_rank))

#: Of one invariant, so many violations are told; the rest are counted.
_TOLD: Final = 10


def check(lines: Iterable[Line], *, expectations: Expectations | None = None) -> list[Violation]:
    """What a run refutes; [] if nothing.

    Args:
        lines: of all processes; those of one process in the order in which it wrote them.
        expectations: None is what holds for any run whose server lost nothing.
    """
    return judge(History(lines), expectations or Expectations())


def judge(history: History, expectations: Expectations) -> list[Violation]:
    """As `check`, of a history that is put together."""
    scene = Scene(history, expectations)
    return _first_of_each(_refutations(scene))


def _refutations(scene: Scene) -> Iterator[Violation]:
    for refute_run in _OF_RUNS:
        yield from refute_run(scene)
    for job in scene.judged():
        for refute_job in _OF_JOBS:
            yield from refute_job(scene, job)


def _first_of_each(violations: Iterable[Violation]) -> list[Violation]:
    told: defaultdict[str, list[Violation]] = defaultdict(list)
    more: defaultdict[str, int] = defaultdict(int)
    for violation in violations:
        if len(told[violation.invariant]) < _TOLD:
            told[violation.invariant].append(violation)
        else:
            more[violation.invariant] += 1
    for invariant, count in more.items():
        told[invariant].append(Violation(invariant, f"and {count:,} more"))
    return [violation for name in sorted(told) for violation in told[name]]
