"""The broker as a dict: what each operation must do, without Redis, scripts, or time.

Time is a choice: a job is due, past its deadline, or not. A worker's write is answered as the
broker answers it: with the state that it led to, or None where it is refused as stale.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from penstock.broker import DEFAULTS, TERMINAL, TRANSITIONS, JobState, Priority, SubmitOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from penstock.broker import CachePolicy, NewJob

__all__ = ["MAX_CRASHES", "GrantModel", "JobModel", "Model"]

MAX_CRASHES: Final = 2

S, Q, R = JobState.SCHEDULED, JobState.QUEUED, JobState.RUNNING
D, F, C, E = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.EXPIRED


@dataclass(frozen=True)
class GrantModel:
    """A right that a worker was given once; it may be long void."""

    job_id: str
    token: int
    worker: str


@dataclass
class JobModel:
    """A job whose record is kept."""

    job_id: str
    spec: NewJob
    state: JobState
    due: bool = False
    past_deadline: bool = False
    attempts: int = 0
    crashes: int = 0
    token: int = 0
    tick: int = 0
    worker: str = ""
    cancel: str | None = None
    checkpoint: bytes | None = None
    entry: str = ""
    cached_from: str = ""
    held: bool = False
    last_report: tuple[int, int] | None = None
    events: int = 1
    states: list[JobState] = field(default_factory=list)

    @property
    def priority(self) -> Priority:
        """Within the queue."""
        return self.spec.priority or DEFAULTS.priority

    @property
    def has_deadline(self) -> bool:
        """Whether a retry far ahead would come too late."""
        return self.past_deadline or self.spec.expires_in_ms is not None

    def enter(self, state: JobState) -> None:
        """The job goes on to another state, by an arrow that there is."""
        assert (self.state, state) in TRANSITIONS
        self.state = state
        self.states.append(state)
        self.events += 1


class Model:
    """All jobs of one slot.

    Attributes:
        jobs: those whose record is kept, by id.
        keys: what idempotency keys stand for: (job id, digest of the work).
        entries: what equal submits meet in the cache, by key: (job id, generations).
        generations: how often each name was invalidated.
        outlived: jobs whose record is gone, and whose entry waits to be pruned.
        queues: ids of QUEUED jobs in the order of their arrival.
        limits: of jobs that are RUNNING at once, by type; '' is all of them.
    """

    def __init__(self) -> None:
        self.jobs: dict[str, JobModel] = {}
        self.keys: dict[str, tuple[str, bytes]] = {}
        self.entries: dict[str, tuple[str, tuple[object, ...]]] = {}
        self.generations: Counter[str] = Counter()
        self.outlived: set[tuple[JobState, str]] = set()
        self.queues: dict[Priority, list[str]] = {priority: [] for priority in Priority}
        self.counters: Counter[str] = Counter()
        self.paused = False
        self.limits: dict[str, int] = {}
        self.tick = 0
        self.token = 0

    # Callers.

    def submit(
        self, job_id: str, spec: NewJob, digest_of: Callable[[NewJob], bytes]
    ) -> tuple[SubmitOutcome, str, JobState | None] | str:
        """Outcome, job and state; or the id of the job that the submit collides with."""
        known = self.jobs.get(job_id)
        if known:
            if digest_of(known.spec) != digest_of(spec):
                return job_id
            return SubmitOutcome.REPEATED, job_id, known.state
        if spec.idempotency_key in self.keys:
            first, digest = self.keys[spec.idempotency_key]
            if digest != digest_of(spec):
                return first
            joined = self.jobs.get(first)
            return SubmitOutcome.JOINED, first, joined.state if joined else None
        return self._from_cache(job_id, spec) or self._store(job_id, spec, digest_of(spec))

    def _store(
        self, job_id: str, spec: NewJob, digest: bytes
    ) -> tuple[SubmitOutcome, str, JobState]:
        state = S if spec.delay_ms else Q
        self.jobs[job_id] = JobModel(job_id, spec, state, states=[state])
        if spec.cache and spec.cache.reads:
            self.counters["cache_misses"] += 1
        if spec.cache and spec.cache.writes:
            self.jobs[job_id].entry = spec.cache.key
            self.entries[spec.cache.key] = job_id, self._generations(spec.cache)
        if state is Q:
            self.queues[self.jobs[job_id].priority].append(job_id)
        if spec.idempotency_key:
            self.keys[spec.idempotency_key] = (job_id, digest)
        self.counters["submitted"] += 1
        return SubmitOutcome.CREATED, job_id, state

    def _from_cache(self, job_id: str, spec: NewJob) -> tuple[SubmitOutcome, str, JobState] | None:
        source = self._cached(spec)
        if source is None:
            return None
        if source.state is not D:
            self.counters["cache_joined"] += 1
            return SubmitOutcome.JOINED, source.job_id, source.state
        self.jobs[job_id] = JobModel(job_id, spec, D, states=[D], cached_from=source.job_id)
        self.outlived.discard((D, job_id))
        self.counters.update(["submitted", "cache_hits"])
        return SubmitOutcome.CACHED, job_id, D

    def _cached(self, spec: NewJob) -> JobModel | None:
        """The job that answers a submit, if one does."""
        if not (spec.cache and spec.cache.reads and spec.cache.key in self.entries):
            return None
        job_id, generations = self.entries[spec.cache.key]
        job = self.jobs.get(job_id)
        if job is None or job.entry != spec.cache.key or job.state in {F, C, E}:
            return None
        if generations != self._generations(spec.cache) or (job.state is R and job.cancel):
            return None
        if job.state in {S, Q} and job.past_deadline:
            return None
        return job

    def _generations(self, policy: CachePolicy) -> tuple[object, ...]:
        names = (policy.key, *sorted(policy.tags))
        return names, tuple(self.generations[name] for name in names)

    def cancel(self, job: JobModel, reason: str) -> None:
        """A caller, or a purge, wants the job no more."""
        if job.state in {S, Q}:
            self._leave_queue(job)
            self._end(job, C)
        elif job.state is R and job.cancel is None:
            job.cancel = reason

    # Workers.

    def claim(self, worker: str, count: int, order: str) -> list[JobModel]:
        """The jobs that are granted, in order."""
        granted: list[JobModel] = []
        if not self.paused:
            waiting = [job_id for priority in order for job_id in self.queues[Priority(priority)]]
            for job in map(self.jobs.__getitem__, waiting):
                if len(granted) < count and self._has_room("", granted):
                    self._offer(job, granted)
        self.tick += bool(granted)
        for job in granted:
            job.enter(R)
            job.worker, job.tick = worker, self.tick
            job.token = self._next_token()
            job.attempts += 1
        return granted

    def _offer(self, job: JobModel, granted: list[JobModel]) -> None:
        """A claim comes upon a job: it is granted, or held, or it is too late."""
        has_room = self._has_room(job.spec.type, granted)
        if job.held and not has_room:
            return  # Who is held is not looked at.
        if job.past_deadline:
            self._leave_queue(job)
            self._end(job, E)
        elif has_room:
            self._leave_queue(job)
            granted.append(job)
        else:
            job.held = True

    def _has_room(self, job_type: str, granted: list[JobModel]) -> bool:
        """Whether one more job may run; type '' is any."""
        running = [*granted, *(job for job in self.jobs.values() if job.state is R)]
        count = sum(job_type in {"", job.spec.type} for job in running)
        return count < self.limits.get(job_type, len(running) + 1)

    def _next_token(self) -> int:
        self.token += 1
        return self.token

    def accepts(self, grant: GrantModel) -> bool:
        """Whether a write under this grant is the holder's."""
        job = self.jobs.get(grant.job_id)
        return job is not None and job.token == grant.token and job.state is R

    def refused(self, grant: GrantModel, ends: Iterable[JobState]) -> JobState | None:
        """The answer to a write that is not the holder's; it may repeat one that was."""
        job = self.jobs.get(grant.job_id)
        if job is None or job.token != grant.token:
            self.counters["stale"] += 1
            return None
        return job.state if job.state in ends else None

    def renew(self, grants: list[GrantModel]) -> list[int]:
        """One heartbeat."""
        self.tick += 1
        for grant in grants:
            if self.accepts(grant):
                self.jobs[grant.job_id].tick = self.tick
        return [
            0 if not self.accepts(grant) else 1 if self.jobs[grant.job_id].cancel is None else 2
            for grant in grants
        ]

    def complete(self, grant: GrantModel) -> JobState | None:
        """The handler returned."""
        if not self.accepts(grant):
            return self.refused(grant, {D})
        return self._end(self.jobs[grant.job_id], D)

    def fail(self, grant: GrantModel, kind: str, *, far: bool) -> JobState | None:
        """The handler raised; far: the retry is not due for long."""
        if not self.accepts(grant):
            return self.refused(grant, {S, F, C, E})
        job = self.jobs[grant.job_id]
        if kind != "expired" and (kind == "cancelled" or job.cancel is not None):
            return self._end(job, C)
        if kind in {"error", "timeout", "final"}:
            if kind == "final":
                return self._end(job, F, "failed:NON_RETRYABLE")
            if job.attempts - job.crashes >= (job.spec.max_attempts or DEFAULTS.max_attempts):
                reason = "TIMED_OUT" if kind == "timeout" else "EXHAUSTED"
                return self._end(job, F, f"failed:{reason}")
        if kind == "expired" or job.past_deadline or (far and job.has_deadline):
            return self._end(job, E)
        self.counters["retries"] += 1
        return self._schedule(job, far=far)

    def release(self, grant: GrantModel, *, far: bool) -> JobState | None:
        """The worker hands the job back; far: it pauses for long."""
        if not self.accepts(grant):
            return self.refused(grant, {Q, S, C, E})
        job = self.jobs[grant.job_id]
        self.counters["released"] += 1
        if job.cancel is not None:
            return self._end(job, C)
        if job.past_deadline or (far and job.has_deadline):
            return self._end(job, E)
        job.attempts -= 1
        return self._schedule(job, far=True) if far else self._queue(job)

    def disown(self, worker: str, held: set[str]) -> int:
        """A worker says what it holds; the rest of its leases go back, the newest first."""
        lost = [
            job
            for job in self.jobs.values()
            if job.state is R and job.worker == worker and job.job_id not in held
        ]
        for job in sorted(lost, key=lambda job: (job.tick, job.job_id), reverse=True):
            job.token = self._next_token()
            if job.cancel is not None:
                self._end(job, C)
            else:
                job.attempts -= 1
                self._queue(job)
        return len(lost)

    # Housekeepers.

    def promote(self, due: list[JobModel]) -> None:
        """Due jobs, in the order of their times."""
        for job in due:
            self._queue(job)

    def expire(self) -> int:
        """Waiting jobs past their deadline."""
        late = [job for job in self.jobs.values() if job.state in {S, Q} and job.past_deadline]
        for job in late:
            self._leave_queue(job)
            self._end(job, E)
        return len(late)

    def lose_lease(self, job: JobModel) -> None:
        """The worker of a RUNNING job is gone."""
        job.token = self._next_token()
        job.crashes += 1
        self.counters["lost"] += 1
        if job.cancel is not None:
            self._end(job, C)
        elif job.past_deadline:
            self._end(job, E)
        elif job.crashes >= MAX_CRASHES:
            self._end(job, F, "failed:QUARANTINED")
        else:
            self._queue(job)

    def outlive(self, job: JobModel) -> None:
        """Retention is over, and Redis has removed the record."""
        del self.jobs[job.job_id]
        self.outlived.add((job.state, job.job_id))

    def prune(self, *, everything: bool) -> int:
        """Forgets what was outlived; and all that ended, where nothing is to be kept."""
        ended = {(job.state, job_id) for job_id, job in self.jobs.items() if job.state in TERMINAL}
        forgotten = self.outlived | ended if everything else self.outlived - ended
        self.outlived = set()
        if everything:
            for _, job_id in ended:
                del self.jobs[job_id]
        return len(forgotten)

    # Arrows.

    def _queue(self, job: JobModel) -> JobState:
        job.enter(Q)
        self.queues[job.priority].append(job.job_id)
        return Q

    def _schedule(self, job: JobModel, *, far: bool) -> JobState:
        job.enter(S)
        job.due = not far
        return S

    def _leave_queue(self, job: JobModel) -> None:
        if job.state is Q:
            self.queues[job.priority].remove(job.job_id)
            job.held = False

    def _end(self, job: JobModel, state: JobState, counter: str = "") -> JobState:
        job.enter(state)
        job.checkpoint = None
        if state is not D and self.entries.get(job.entry, ("",))[0] == job.job_id:
            del self.entries[job.entry]
        names = {D: "succeeded", C: "cancelled", E: "expired"}
        self.counters[counter or names[state]] += 1
        # It takes the place of what an earlier life of the same id left in that set.
        self.outlived.discard((state, job.job_id))
        return state
