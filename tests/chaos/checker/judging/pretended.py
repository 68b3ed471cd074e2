"""A pretended service, clients and workers, in one thread: a history without a server.

Actors are generators that go on by turns that are drawn by seed, so calls overlap, answers come
late or never, workers are killed, or stand still while their job is given to another. The service
keeps all promises, but for the one defect that it is given.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.checker.judging.told import Tale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.history.journal import Line

__all__ = ["DEFECTS", "pretend"]

#: What may be wrong with the service.
DEFECTS: Final = (
    "a submit is acknowledged and forgotten",
    "a repeated submit makes another job",
    "outcomes are not fenced",
    "events are not fenced",
    "tokens do not rise",
    "an outcome is overwritten",
    "views are out of date",
    "events are left out",
    "events are told twice",
    "the end is not told",
    "checkpoints are lost",
    "crashes are not counted",
    "a cancel is forgotten",
)
_ENDED: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_JOBS: Final = 12
_WORKERS: Final = 3


@dataclass
class _Job:
    """A record, and its log of events."""

    id: str
    work: str
    state: str = ""
    token: int = 0
    attempt: int = 0
    crashes: int = 0
    worker: str = ""
    cancel: bool = False
    result: dict[str, Any] | None = None
    saved: dict[str, int] | None = None
    log: list[dict[str, Any]] = field(default_factory=list)

    def enter(self, state: str) -> None:
        self.state = state
        self.tell(state=state, attempt=self.attempt)

    def tell(self, **event: object) -> None:
        number = len(self.log) + 1
        self.log.append({"first": number, "last": number, **event})

    def view(self) -> dict[str, Any]:
        view: dict[str, Any] = {
            "job": self.id,
            "state": self.state,
            "reason": None,
            "attempt": self.attempt,
            "crashes": self.crashes,
            "token": self.token,
            "sequence": len(self.log),
            "cancel": self.cancel and self.state == "RUNNING",
        }
        return view | ({"result": self.result} if self.state == "SUCCEEDED" else {})


def pretend(seed: int, defect: str = "") -> list[Line]:
    """The history of a run in which all promises were kept, or all but one."""
    service = _Service(random.Random(seed), defect)  # noqa: S311 - no secret.
    service.run()
    return service.tale.lines


class _Service:
    """All of it."""

    def __init__(self, chance: random.Random, defect: str) -> None:
        self.tale = Tale()
        self._chance = chance
        self._defect = defect
        self._jobs: dict[str, _Job] = {}
        self._tokens = 0
        self._alive: set[str] = set()
        self._workers = 0

    def run(self) -> None:
        actors = [self._client(number) for number in range(_JOBS)]
        actors += [self._hire() for _ in range(_WORKERS)]
        for _ in range(100_000):
            actor = self._chance.choice(actors)
            try:
                next(actor)
            except StopIteration:
                actors.remove(actor)
            if len(self._alive) < _WORKERS:
                actors.append(self._hire())
            if self._chance.random() < 0.06:
                self._reclaim()
            clients = len(actors) - len(self._alive)
            if clients <= 0 and all(job.state in _ENDED for job in self._jobs.values()):
                break
        for job in self._jobs.values():
            stored = {"type": "chaos.async", "payload": {"work": job.work}}
            self.tale.line("end", "final", **job.view(), **stored)

    # Clients.

    def _client(self, number: int) -> Iterator[None]:
        tale, chance, work = self.tale, self._chance, f"w{number}"
        by = f"client-{number}"
        item: dict[str, Any] = {
            "request": f"r-{work}",
            "type": "chaos.async",
            "payload": {"work": work},
        }
        item |= {"ends": ["SUCCEEDED"], "max_attempts": 99}
        job: _Job | None = None
        while job is None:
            op = tale.call("submit", by=by, jobs=[item])
            yield
            found = self._submit(work)
            yield
            if chance.random() < 0.2:
                tale.error(op, "UNAVAILABLE", by=by)
                continue
            job, outcome = found
            told = {"job": job.id, "state": job.log[0]["state"], "outcome": outcome}
            tale.answer(op, by=by, jobs=[told])
        acts = [self._look, self._look, self._watch, self._watch]
        acts += [self._cancel] if chance.random() < 0.6 else []
        chance.shuffle(acts)
        for act in acts:
            yield from act(job, by)

    def _submit(self, work: str) -> tuple[_Job, str]:
        name = f"j-{work}"
        if name in self._jobs and self._defect == "a repeated submit makes another job":
            name += "-again"
        if name in self._jobs:
            return self._jobs[name], "REPEATED"
        job = _Job(name, work)
        if self._defect == "a submit is acknowledged and forgotten" and self._draws():
            job.enter("QUEUED")
            return job, "CREATED"
        self._jobs[name] = job
        job.enter("QUEUED")
        return job, "CREATED"

    def _look(self, job: _Job, by: str) -> Iterator[None]:
        before = job.view()
        for _ in range(4):
            op = self.tale.call("status", by=by, job=job.id)
            yield
            view = job.view()
            if self._defect == "views are out of date" and self._draws():
                view = before
            yield
            self.tale.answer(op, by=by, **view)

    def _cancel(self, job: _Job, by: str) -> Iterator[None]:
        op = self.tale.call("cancel", by=by, job=job.id)
        yield
        if job.state == "RUNNING":
            job.cancel = True
        elif job.state == "QUEUED" or self._defect == "an outcome is overwritten":
            job.enter("CANCELLED")
        view = job.view()
        if self._defect == "a cancel is forgotten" and job.state == "RUNNING":
            job.cancel = False
        yield
        self.tale.answer(op, by=by, **view)

    def _watch(self, job: _Job, by: str) -> Iterator[None]:
        cursor, lost = 0, job.id not in self._jobs
        while not lost:
            op = self.tale.call("watch", by=by, job=job.id, after=cursor)
            yield
            snapshot = job.view()
            told = {"first": cursor + 1, "last": cursor, "snapshot": snapshot}
            self.tale.line(by, "event", op=op, job=job.id, **told)
            stop_after = self._chance.choice([2, 5, 100])
            while stop_after:
                yield
                if cursor == len(job.log):
                    if job.state in _ENDED:
                        break
                    continue
                cursor += 1
                stop_after -= 1
                self._tell(op, by, job, job.log[cursor - 1])
            ended = job.state in _ENDED and cursor == len(job.log)
            self.tale.answer(op, by=by, complete=ended)
            if ended:
                return

    def _tell(self, op: int, by: str, job: _Job, event: dict[str, Any]) -> None:
        end = event.get("state") in _ENDED
        if self._defect == "the end is not told" and end and self._draws():
            return
        if self._defect == "events are left out" and not end and self._draws():
            return
        more = {"view": job.view()} if end else {}
        self.tale.line(by, "event", op=op, job=job.id, **event, **more)
        if self._defect == "events are told twice" and self._draws():
            self.tale.line(by, "event", op=op, job=job.id, **event, **more)

    # Workers.

    def _hire(self) -> Iterator[None]:
        self._workers += 1
        name = f"worker-{self._workers}"
        self._alive.add(name)
        return self._work(name)

    def _work(self, by: str) -> Iterator[None]:
        while True:
            yield
            job = self._claim(by)
            if job is not None:
                yield from self._run_one(by, job, job.token, job.attempt, job.saved)
            if self._chance.random() < 0.1:
                self._alive.remove(by)
                self.tale.line("harness", "killed", target=by)
                return

    def _run_one(
        self, by: str, job: _Job, token: int, attempt: int, saved: dict[str, int] | None
    ) -> Iterator[None]:
        tale, chance, told = self.tale, self._chance, {"job": job.id, "token": token}
        payload = {"work": job.work}
        tale.line(by, "start", type="chaos.async", attempt=attempt, payload=payload, **told)
        tale.line(by, "effect", what="resumed", value=saved, **told)
        for number in range(1, chance.randint(2, 4)):
            yield
            if chance.random() < 0.1:
                return  # Its process will be killed, or it stands still for ever.
            chunk, step = f"{token}/{number} ", {"token": token, "step": number}
            tale.line(by, "effect", what="chunk", value=chunk, **told)
            yield
            if not self._writes(job, token, "events are not fenced"):
                tale.line(by, "end", how="stopped", why="LEASE_LOST", **told)
                return
            job.tell(chunk=chunk, attempt=job.attempt)
            tale.line(by, "effect", what="checkpoint", value=step, **told)
            yield
            if self._writes(job, token):
                job.saved = None if self._defect == "checkpoints are lost" else step
                tale.line(by, "effect", what="saved", value=step, **told)
        how = "raise" if attempt < 3 and chance.random() < 0.2 else "return"
        if job.cancel and self._writes(job, token):
            how = "stopped"
        tale.line(by, "end", how=how, why="CANCELLED" if how == "stopped" else "", **told)
        yield
        self._conclude(job, token, how)

    def _claim(self, by: str) -> _Job | None:
        waiting = [job for job in self._jobs.values() if job.state == "QUEUED"]
        if not waiting:
            return None
        job = self._chance.choice(waiting)
        if not (self._defect == "tokens do not rise" and job.token):
            self._tokens += 1
            job.token = self._tokens
        job.attempt += 1
        job.worker = by
        job.enter("RUNNING")
        return job

    def _writes(self, job: _Job, token: int, unfenced: str = "-") -> bool:
        """Whether a worker's write is accepted."""
        if self._defect == unfenced:
            return job.state not in _ENDED
        return job.state == "RUNNING" and job.token == token

    def _conclude(self, job: _Job, token: int, how: str) -> None:
        if not self._writes(job, token, "outcomes are not fenced"):
            return
        if how == "return":
            job.result = {"work": job.work, "token": token}
            job.enter("SUCCEEDED")
        elif job.cancel:
            job.enter("CANCELLED")
        elif job.state == "RUNNING":
            job.enter("SCHEDULED")
            job.enter("QUEUED")

    def _reclaim(self) -> None:
        """Takes back what runs: its worker was killed, or is taken for it."""
        for job in self._jobs.values():
            if job.state == "RUNNING" and self._chance.random() < 0.5:
                if self._defect != "tokens do not rise":
                    self._tokens += 1
                    job.token = self._tokens
                job.crashes += self._defect != "crashes are not counted"
                job.enter("CANCELLED" if job.cancel else "QUEUED")

    def _draws(self) -> bool:
        return self._chance.random() < 0.3
