"""Whether all came out as planned: each expectation by itself, with what was seen instead."""

from __future__ import annotations

from typing import TYPE_CHECKING

from examples.demo import sources
from examples.demo.fingerprint import fingerprint
from examples.demo.handlers import prose_of
from examples.demo.plan import COMPARE, DELIVER, FINGERPRINT, INVENTORY, PROSE, TEXT, Planned
from examples.harness.checks import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from examples.demo.scenario import Seen
    from penstock.client import Job

__all__ = ["check_all", "failed_attempts"]


def check_all(plan: Mapping[str, Planned], seen: Seen) -> list[Check]:
    """Return every expectation, with what was seen."""
    return [
        *_refused(seen),
        *_failed_twice(seen.jobs[DELIVER]),
        *_cancelled(seen.jobs[COMPARE]),
        *_streamed(seen),
        *_resumed(seen),
        *_all_jobs(plan, seen),
        *_counts(plan, seen),
    ]


def failed_attempts(job: Job) -> int:
    """Return how many attempts of an ended job failed, as opposed to ending with their worker."""
    return job.attempt - job.crashes - (job.state in {"SUCCEEDED", "CANCELLED"})


def _refused(seen: Seen) -> Iterator[Check]:
    faults = {violation.field for violation in seen.violations or ()}
    yield Check("the bad payload is refused, each of its faults named", 2, len(faults))


def _failed_twice(job: Job) -> Iterator[Check]:
    yield Check("the note fails twice", 2, failed_attempts(job))
    yield Check("... and is delivered at its third attempt", "SUCCEEDED", job.state.value)


def _cancelled(job: Job) -> Iterator[Check]:
    yield Check("the comparison is cancelled while it runs", "CANCELLED", job.state.value)
    made = job.progress is not None and job.progress.current > 0
    yield Check.that("... after it had made progress", true=made)


def _streamed(seen: Seen) -> Iterator[Check]:
    words = prose_of(TEXT)
    yield Check("the prose arrives word by word", len(words), seen.text_parts)
    yield Check("... and is what was to be written", "".join(words), seen.text)
    yield Check("... and is the job's result", "".join(words), seen.jobs[PROSE].result)


def _resumed(seen: Seen) -> Iterator[Check]:
    job = seen.jobs[FINGERPRINT]
    result = job.result if isinstance(job.result, dict) else {}
    killed = seen.killed.worker_id if seen.killed else None
    inventory = [path for name in INVENTORY.packages for path in sources.files_of(name)]
    yield Check.that("a worker is killed half-way through the fingerprint", true=killed is not None)
    yield Check.that("... its lease runs out", true=job.crashes >= 1)
    yield Check.that("... another worker takes over", true=job.worker_id not in {"", killed})
    resumed = result.get("resumed_at", 0) > 0
    yield Check.that("... from the checkpoint, not from the start", true=resumed)
    yield Check("... and gets the right result", fingerprint(inventory), result.get("sha256"))


def _all_jobs(plan: Mapping[str, Planned], seen: Seen) -> Iterator[Check]:
    planned = {name: job.state for name, job in plan.items()}
    ended = {name: job.state.value for name, job in seen.jobs.items()}
    wrong = {name: state for name, state in ended.items() if planned[name] != state}
    yield Check(f"all {len(plan)} jobs end in the state that was planned", {}, wrong)
    failed = {name: failed_attempts(job) for name, job in seen.jobs.items()}
    surplus = {name: n for name, n in failed.items() if n != plan[name].failures}
    yield Check("no attempt fails that was not to", {}, surplus)


def _counts(plan: Mapping[str, Planned], seen: Seen) -> Iterator[Check]:
    states = [job.state for job in plan.values()]
    expected = {state: states.count(state) for state in ("SUCCEEDED", "CANCELLED", "FAILED")}
    expected |= {"waiting": 0, "scheduled": 0, "running": 0}
    stats = seen.stats
    counted = stats and {
        "SUCCEEDED": stats.succeeded,
        "CANCELLED": stats.cancelled,
        "FAILED": stats.failed,
        "waiting": sum(stats.waiting.values()),
        "scheduled": stats.scheduled,
        "running": stats.running,
    }
    yield Check("the queue counts the same, and holds nothing any more", expected, counted)
