"""A random life of a queue: the real scripts against a model, compared after every step.

Two gateways, three workers that hold, lose and outlive grants, housekeepers, and a server whose
scripts are flushed and whose groups are destroyed. A failure is shrunk to the shortest life that
shows it. `make test-properties` lives many more.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from penstock.broker import (
    TERMINAL,
    AlreadyExists,
    Broker,
    CachePolicy,
    CacheTarget,
    Chunk,
    Content,
    JobState,
    NewJob,
    Policy,
    PolicyKey,
    Priority,
    Progress,
    StaleToken,
    ids,
)
from penstock.broker.reconciler import REPAIR
from penstock.broker.record import digest_of
from tests.broker.audit import audit
from tests.broker.model import MAX_CRASHES, GrantModel, JobModel, Model
from tests.broker.rig import FAILURE, QUEUE, RESULT, Rig, pairs, states_of, tail_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from penstock.broker import Event
    from penstock.broker.record import Fields
    from penstock.runtime.embedded import EmbeddedServer

WORKERS: Final = ("ada", "bob", "cyd")
#: Time spans that are over at once, and that are not over within any test (ms).
NEAR_MS, SOON_MS, FAR_MS = 0, 3_600_000, 7_200_000
#: Two different pieces of work; the second has its payload in a key of its own.
WAITING: Final = (JobState.SCHEDULED, JobState.QUEUED)
UNFINISHED: Final = (*WAITING, JobState.RUNNING)
WORKS: Final = (Content(b"{}"), Content(b"[" + b" " * 100 + b"]"))

AGES: Final = ("deadline", "expire", "retention", "cache", "prune", "clear")

gateways = st.integers(0, 1)
workers = st.sampled_from(WORKERS)
picks = st.integers(0, 5)
rarely = st.sampled_from([False, False, False, True])
orders = st.sampled_from(["hdl", "dhl", "lhd"])
writes = st.sampled_from(
    ["complete", "error", "error", "timeout", "final", "cancelled", "expired", "release"]
)
policies = st.builds(
    CachePolicy,
    ttl_ms=st.just(FAR_MS),
    key=st.sampled_from(["=c0", "=c1"]),
    tags=st.sampled_from([(), (), ("t0",), ("t1", "t0")]),
    reads=st.sampled_from([True, True, False]),
    writes=st.sampled_from([True, True, False]),
)
specs = st.builds(
    NewJob,
    type=st.sampled_from(["work", "work", "toil"]),
    queue=st.just(QUEUE),
    request_id=st.sampled_from(["r0", "r1", "r2", "r3", "r4", "r5"]),
    payload=st.sampled_from(WORKS),
    priority=st.sampled_from(Priority),
    delay_ms=st.sampled_from([None, None, FAR_MS]),
    expires_in_ms=st.sampled_from([None, None, SOON_MS]),
    max_attempts=st.integers(1, 2),
    idempotency_key=st.sampled_from(["", "", "k0", "k1"]),
) | st.builds(
    NewJob,
    type=st.just("work"),
    queue=st.just(QUEUE),
    request_id=st.sampled_from(["r0", "r1", "r2", "r3", "r4", "r5"]),
    payload=st.sampled_from(WORKS),
    expires_in_ms=st.sampled_from([None, None, SOON_MS]),
    max_attempts=st.integers(1, 2),
    cache=policies,
)


class Tokens:
    """The server's token for each of the model, which counts them: 1, 2, 3 ..."""

    def __init__(self) -> None:
        self._known = {0: 0}

    def see(self, number: int, token: int) -> None:
        """The server gave this token; it must fit in with all that are known."""
        assert self._known.setdefault(number, token) == token
        numbers = sorted(self._known)
        tokens = [self._known[each] for each in numbers]
        assert tokens == sorted(set(tokens))

    def __getitem__(self, number: int) -> int:
        return self._known[number]


class BrokerMachine(RuleBasedStateMachine):
    """One life of one queue."""

    def __init__(self, runner: asyncio.Runner, url: str) -> None:
        super().__init__()
        self.runner = runner
        self.model = Model()
        self.grants: list[GrantModel] = []
        self.held: dict[str, set[str]] = {worker: set() for worker in WORKERS}
        self.tokens = Tokens()
        self.reports: dict[GrantModel, int] = {}
        self.final: dict[str, Fields] = {}
        self.told: dict[str, list[Event]] = {}
        self.repeat: Callable[[], None] | None = None
        self.rigs = self.run(self._connect(url))
        self.rig = self.rigs[0]

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - as the coroutine.
        return self.runner.run(coroutine)

    async def _connect(self, url: str) -> list[Rig]:
        brokers = [Broker(url), Broker(url)]
        for broker in brokers:
            await broker.__aenter__()
        await brokers[0].link.call("FLUSHALL")
        for broker in brokers:
            await broker._examine(broker.link)
        return [await Rig.on(broker) for broker in brokers]

    def teardown(self) -> None:
        for rig in self.rigs:
            self.run(rig.broker.close())

    def jobs_in(self, *states: JobState) -> list[JobModel]:
        """Jobs of the model, in an order that does not depend on the server."""
        return sorted(
            (job for job in self.model.jobs.values() if job.state in states),
            key=lambda job: job.job_id,
        )

    def job_in(self, *states: JobState, pick: int) -> JobModel:
        """One of them."""
        jobs = self.jobs_in(*states)
        return jobs[pick % len(jobs)]

    # Callers.

    @initialize(first=st.lists(specs, min_size=2, max_size=5))
    def begin(self, first: list[NewJob]) -> None:
        for spec in first:
            self.submit(spec=spec, gateway=0)

    @rule(spec=specs, gateway=gateways)
    def submit(self, *, spec: NewJob, gateway: int) -> None:
        rig = self.rigs[gateway]
        tail = ids.job_tail(rig.broker.engine.namespace, QUEUE, spec.request_id)
        expected = self.model.submit(rig.slot.job_id(tail), spec, digest_of)
        (answer,) = self.run(rig.broker.jobs.submit_many([spec]))
        if isinstance(answer, AlreadyExists):
            assert answer.job_id == expected
        else:
            assert (answer.outcome, answer.job_id, answer.state) == expected

    @rule(what=st.sampled_from(["=c0", "=c1", "t0", "t1"]), gateway=gateways)
    def invalidate(self, *, what: str, gateway: int) -> None:
        target = CacheTarget("work", what) if what.startswith("=") else CacheTarget(tag=what)
        self.run(self.rigs[gateway].broker.cache.invalidate([target]))
        self.model.generations[what] += 1

    @precondition(lambda self: self.model.jobs)
    @rule(pick=picks, gateway=gateways, purge=rarely)
    def cancel(self, *, pick: int, gateway: int, purge: bool) -> None:
        broker = self.rigs[gateway].broker
        if purge:
            waiting = self.jobs_in(*WAITING)
            for job in waiting:
                self.model.cancel(job, "purged")
            assert self.run(broker.queues.purge(QUEUE)) == (len(waiting), False)
            return
        job = self.job_in(*JobState, pick=pick)
        self.model.cancel(job, "stop")
        self.run(broker.jobs.cancel(job.job_id, "stop"))

    # Workers.

    @precondition(lambda self: self.jobs_in(JobState.QUEUED))
    @rule(
        worker=workers, count=st.integers(1, 3), order=orders, gateway=gateways, lost=st.booleans()
    )
    def claim(self, *, worker: str, count: int, order: str, gateway: int, lost: bool) -> None:
        expected = self.model.claim(worker, count, order)
        granted = self.run(self.rigs[gateway].claim(count, worker, order))
        told = [(g.job_id, g.fencing_token, g.attempt, g.crashes, g.checkpoint) for g in granted]
        for grant, job in zip(granted, expected, strict=True):
            self.tokens.see(job.token, grant.fencing_token)
        assert told == [
            (j.job_id, self.tokens[j.token], j.attempts, j.crashes, j.checkpoint) for j in expected
        ]
        assert [grant.payload for grant in granted] == [job.spec.payload for job in expected]
        for job in expected:
            self.grants.append(GrantModel(job.job_id, job.token, worker))
            if not lost:  # Else the reply never reached the worker.
                self.held[worker].add(job.job_id)

    @precondition(lambda self: self.grants)
    @rule(pick=picks, what=writes, far=st.booleans(), gateway=gateways)
    def end_attempt(self, *, pick: int, what: str, far: bool, gateway: int) -> None:
        """By any grant there ever was, so that most writes come late."""
        grant = self.grants[-1 - pick % len(self.grants)]
        attempts, pause_ms = self.rigs[gateway].broker.attempts, FAR_MS if far else NEAR_MS
        identity = grant.job_id, self.tokens[grant.token]

        def write() -> None:
            call: Coroutine[Any, Any, JobState | None]
            match what:
                case "complete":
                    expected = self.model.complete(grant)
                    call = attempts.complete(*identity, RESULT)
                case "release":
                    expected = self.model.release(grant, far=far)
                    call = attempts.release(*identity, "drain", pause_ms)
                case _:
                    expected = self.model.fail(grant, what, far=far)
                    call = attempts.fail(*identity, what, FAILURE, pause_ms)
            if expected is None:
                self.refused(call)
            else:
                assert self.run(call) in {expected, None}

        self.repeat = write
        write()

    @precondition(lambda self: self.repeat)
    @rule()
    def repeat_last_write(self) -> None:
        """As after a reply that was lost."""
        assert self.repeat
        self.repeat()

    @precondition(lambda self: self.grants)
    @rule(pick=picks, what=st.sampled_from(["report", "report again", "checkpoint", "renew"]))
    def work(self, pick: int, what: str) -> None:
        """By any grant there ever was."""
        grant = self.grants[-1 - pick % len(self.grants)]
        if what == "renew":
            self._renew(grant.worker)
        elif what == "checkpoint":
            self._checkpoint(grant, b"%d" % pick)
        else:
            self._report(grant, again=what == "report again")

    def _renew(self, worker: str) -> None:
        """One heartbeat for all that a worker ever held, by its newest tokens."""
        newest = {grant.job_id: grant for grant in self.grants if grant.worker == worker}
        expected = self.model.renew(list(newest.values()))
        tokens = {job_id: self.tokens[grant.token] for job_id, grant in newest.items()}
        answers = self.run(self.rig.broker.attempts.renew(tokens))
        assert [answer.value for answer in answers.values()] == expected

    def _checkpoint(self, grant: GrantModel, data: bytes) -> None:
        write = self.rig.broker.attempts.checkpoint(grant.job_id, self.tokens[grant.token], data)
        if self.model.accepts(grant):
            self.run(write)
            self.model.jobs[grant.job_id].checkpoint = data
        else:
            self.model.refused(grant, ())
            self.refused(write)

    def _report(self, grant: GrantModel, *, again: bool) -> None:
        number = self.reports.get(grant, 0) + (not (again and grant in self.reports))
        self.reports[grant] = number
        events = [Progress(number, 10, "on it"), Chunk(b"out put", 0)]
        token = self.tokens[grant.token]
        write = self.rig.broker.attempts.report(grant.job_id, token, number, events)
        if not self.model.accepts(grant):
            self.model.refused(grant, ())
            self.refused(write)
            return
        job = self.model.jobs[grant.job_id]
        assert self.run(write) is (job.cancel is not None)
        if job.last_report != (grant.token, number):
            job.events += len(events)
        job.last_report = (grant.token, number)

    def refused(self, write: Coroutine[Any, Any, Any]) -> None:
        with pytest.raises(StaleToken):
            self.run(write)

    # Time, and those who keep house.

    @precondition(lambda self: self.jobs_in(JobState.SCHEDULED))
    @rule(pick=picks, gateway=gateways)
    def promote(self, pick: int, gateway: int) -> None:
        """The time comes for one job at least, and somebody sees to it."""
        job = self.job_in(JobState.SCHEDULED, pick=pick)
        job.due = True
        self.run(self.rig.come_due(job.job_id))
        order = pairs(self.run(self.rig.call("ZRANGE", self.rig.slot.due(), 0, -1, "WITHSCORES")))
        jobs = [self.model.jobs[self.rig.slot.job_id(tail.decode())] for tail in order]
        due = [job for job in jobs if job.due]
        assert self.run(self.rigs[gateway].promote()) == len(due)
        self.model.promote(due)

    @precondition(lambda self: self.jobs_in(JobState.RUNNING))
    @rule(pick=picks, how=st.sampled_from(["lost", "lost", "moved", "disowned"]), gateway=gateways)
    def lose_lease(self, pick: int, how: str, gateway: int) -> None:
        """A worker is gone, or seems to be, or says that it never got its grant."""
        rig, job = self.rigs[gateway], self.job_in(JobState.RUNNING, pick=pick)
        if how == "disowned":
            expected = self.model.disown(job.worker, self.held[job.worker])
            call = rig.broker.attempts.disown(rig.slot, job.worker, self.held[job.worker])
            assert self.run(call) == expected
            return
        tick = job.tick - (how == "moved")
        taken = self.run(rig.lose_lease(job.job_id, tick=tick, max_crashes=MAX_CRASHES))
        if how == "moved":
            assert taken == (0, 0)
        else:
            self.model.lose_lease(job)
            assert taken == ((1, 0) if job.state is JobState.QUEUED else (0, 1))

    @rule(pick=picks, what=st.sampled_from(AGES))
    def age(self, pick: int, what: str) -> None:
        """Deadlines and retention come to their end, and somebody sees to it."""
        model, rig = self.model, self.rig
        if what == "deadline" and self.jobs_in(*UNFINISHED):
            job = self.job_in(*UNFINISHED, pick=pick)
            job.past_deadline = True
            self.run(rig.pass_deadline(job.job_id))
        elif what == "expire":
            assert self.run(rig.expire()) == model.expire()
        elif what == "retention" and self.jobs_in(*TERMINAL):
            job = self.job_in(*TERMINAL, pick=pick)
            self.run(rig.pass_retention(job.job_id))
            model.outlive(job)
        elif what == "cache":
            for key, (job_id, _) in list(model.entries.items()):
                if job_id not in model.jobs or model.jobs[job_id].state is JobState.SUCCEEDED:
                    del model.entries[key]
                    self.run(rig.call("DEL", rig.slot.cache(ids.cache_digest("work", key))))
        elif what in {"prune", "clear"}:
            everything = what == "clear"
            forgotten = self.run(rig.prune(keep=0 if everything else 1_000))
            assert forgotten == model.prune(everything=everything)
        self._forget()

    def _forget(self) -> None:
        """The ids of jobs that are gone may come to life again; old grants must not fit them."""
        kept = self.model.jobs.keys()
        for seen in (self.final, self.told):
            for job_id in seen.keys() - kept:
                del seen[job_id]
        for held in self.held.values():
            held.intersection_update(kept)

    @rule(what=st.sampled_from(["pause", "resume", "repair", "flush", *Priority]))
    def nuisance(self, what: str) -> None:
        """What may happen at any time, and changes no job."""
        self.run(self._nuisance(what))

    @rule(
        job_type=st.sampled_from(["", "work"]),
        most=st.sampled_from([None, 1, 1, 2]),
        gateway=gateways,
    )
    def limit(self, job_type: str, most: int | None, gateway: int) -> None:
        """Somebody changes how many jobs may run at once."""
        held, key = self.rigs[gateway].broker.policies, PolicyKey(QUEUE, job_type)
        if most is None:
            assert self.run(held.delete(key)) is (job_type in self.model.limits)
            self.model.limits.pop(job_type, None)
        else:
            self.run(held.put(key, Policy(concurrency=most)))
            self.model.limits[job_type] = most

    async def _nuisance(self, what: str) -> None:
        rig, broker = self.rig, self.rig.broker
        match what:
            case "pause" | "resume":
                self.model.paused = what == "pause"
                await (broker.queues.pause if self.model.paused else broker.queues.resume)(QUEUE)
            case "repair":
                tails = map(tail_of, self.model.jobs)
                assert await broker.engine.run(REPAIR, [rig.slot.base], *tails) == [0, []]
            case "flush":
                await rig.call("SCRIPT", "FLUSH")
            case priority:
                stream = rig.slot.stream(Priority(priority))
                if await rig.call("EXISTS", stream):
                    await rig.call("XGROUP", "DESTROY", stream, "workers")

    # What must hold at every moment.

    @invariant()
    def agree(self) -> None:
        self.run(self._agree())

    async def _agree(self) -> None:
        rig, model = self.rig, self.model
        assert await audit(rig.broker) == []
        keys = await rig.call("KEYS", rig.slot.record("*"))
        assert {rig.slot.job_id(key.decode().rpartition(":")[2]) for key in keys} == set(model.jobs)
        expected_order = [
            id_
            for priority in Priority
            for id_ in model.queues[priority]
            if not model.jobs[id_].held
        ]
        assert [rig.slot.job_id(t.decode()) for t in await rig.waiting_tails()] == expected_order
        assert await rig.counters() == model.counters
        assert await rig.broker.queues.paused(QUEUE) is model.paused
        assert int(await rig.call("HGET", rig.slot.base, "tick") or 0) == model.tick
        for job in model.jobs.values():
            await self._agree_on(job)

    async def _agree_on(self, expected: JobModel) -> None:
        rig, job_id = self.rig, expected.job_id
        job = await rig.job(job_id)
        assert (job.state, job.attempt, job.crashes) == (
            expected.state,
            expected.attempts,
            expected.crashes,
        )
        assert job.last_sequence == expected.events
        self.tokens.see(expected.token, job.fencing_token)
        events = await rig.events(job_id)
        assert states_of(events) == expected.states
        # What was told once is never told otherwise.
        told = self.told.get(job_id, [])
        assert events[: len(told)] == told
        self.told[job_id] = events
        assert job.payload == expected.spec.payload
        assert (job.hold_reason is not None) == expected.held
        assert job.cached_from == expected.cached_from
        assert job.result == (RESULT if job.state is JobState.SUCCEEDED else None)
        saved = await rig.call("GET", rig.slot.checkpoint(tail_of(job_id)))
        assert saved == expected.checkpoint
        if job.state.terminal:
            record = await rig.record(job_id)
            assert self.final.setdefault(job_id, record) == record


def live(server: EmbeddedServer, lives: int) -> None:
    """So many random lives on one server."""
    url = server.start().url
    with asyncio.Runner() as runner:
        run_state_machine_as_test(
            partial(BrokerMachine, runner, url),  # type: ignore[arg-type] # A factory will do.
            settings=hypothesis.settings(max_examples=lives, stateful_step_count=50),
        )


@pytest.mark.timeout(240)  # A tenth of it, where the cores are not shared.
def test_the_scripts_agree_with_the_model(redis_server: EmbeddedServer) -> None:
    live(redis_server, 100)


@pytest.mark.slow
@pytest.mark.hypothesis  # As the plugin marks tests of @given: `make test-properties` runs it.
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("kind", ["redis_server", "cluster_server"])
def test_the_scripts_agree_with_the_model_at_length(
    request: pytest.FixtureRequest, kind: str
) -> None:
    live(request.getfixturevalue(kind), hypothesis.settings().max_examples)
