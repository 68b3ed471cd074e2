"""Callers: they submit, cancel, ask and watch, at any gateway, and repeat what got no answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from penstock.broker import (
    AlreadyExists,
    Backoff,
    CachePolicy,
    CacheTarget,
    Content,
    CursorOutOfRange,
    DomainError,
    NewJob,
    NotFound,
    PenstockError,
    Policy,
    PolicyKey,
    Priority,
    SubmitOutcome,
)
from penstock.server.watching import is_terminal
from tests.simulation.witness import CACHED_MS, ENDED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from penstock.broker import Broker, Event, Submitted
    from tests.simulation.life import Life

__all__ = ["Caller", "Client", "Watcher"]

#: How long a caller tries to get an answer (s).
PATIENCE_S = 60.0
#: In quiet times a watcher learns of an event within it, even if no wake-up comes (s).
TOLD_WITHIN_S = 3.0
TARGET = CacheTarget("work", "=c0")
WORKS = (b'{"n": 1}', b'{"n": 2, "sure": true}', b'{"n": 3, "pad": "%s"}' % (b"x" * 80))


class Client:
    """Whoever calls gateways.

    Args:
        life: that it is part of.
        chance: decides what it does.
    """

    def __init__(self, life: Life, chance: Random) -> None:
        self._life = life
        self._chance = chance
        # Of the last call: all tries but the last may come to pass at any later time. So may what
        # a gateway has sent over a connection that it gave up since, and sent once more.
        self._tries = 0
        self._given_up = 0

    async def _ask(self, call: Callable[[Broker], Awaitable[Any]]) -> Any:  # noqa: ANN401 - as the call.
        """As a client does: at one gateway after the other, until there is an answer.

        Returns None where there was none in the end. A call at a gateway that is killed, or
        stopped, gets none; what it had begun may come to pass all the same.
        """
        give_up_s = self._life.clock.now_s + PATIENCE_S
        self._tries, self._given_up = 0, self._life.network.given_up
        while self._life.clock.now_s < give_up_s:
            self._tries += 1
            gateway = self._life.any_gateway()

            async def ask(broker: Broker = gateway.broker) -> Any:  # noqa: ANN401 - as the call.
                return await call(broker)

            task = gateway.process.start(ask())
            # The client gives up on this gateway, and the gateway then on the call.
            await asyncio.wait([task], timeout=8.0)
            if not task.done():
                task.cancel()
            elif not task.cancelled():
                error = task.exception()
                if error is None:
                    return task.result()
                if isinstance(error, DomainError) or not isinstance(error, PenstockError):
                    raise error
            await asyncio.sleep(self._chance.uniform(0.01, 0.5))
        return None


class Caller(Client):
    """One who submits jobs.

    Args:
        life: that it is part of.
        name: of its request ids.
    """

    def __init__(self, life: Life, name: str) -> None:
        super().__init__(life, life.chance)
        self._name = name
        self._specs: list[NewJob] = []
        self._receipts: list[tuple[NewJob, Submitted]] = []
        self._cancelled: set[str] = set()
        self.watchers: list[Watcher] = []

    async def run(self) -> None:
        """Calls again and again, and then no more."""
        chance, calm = self._chance, self._life.calm
        for _ in range(4 if calm else chance.randint(6, 14)):
            await asyncio.sleep(chance.choice([0.0, 0.001, 0.1, 1.0]))
            match "submit" if calm else chance.choice(["submit"] * 6 + OTHERS):
                case "submit":
                    await self._submit(self._new())
                case "again" if self._specs:
                    await self._submit(chance.choice(self._specs))
                case "cancel" if self._receipts:
                    await self._cancel(chance.choice(self._receipts)[1].job_id)
                case "retry" if self._receipts:
                    await self._retry(chance.choice(self._receipts)[1].job_id)
                case "invalidate":
                    await self._ask(lambda broker: broker.cache.invalidate([TARGET]))
                case "limit":
                    await self._limit()
                case _:
                    pass

    def check(self) -> None:
        """What was acknowledged is there, or was forgotten when its time had come."""
        witness = self._life.witness
        holders: dict[str, set[str]] = {}
        for spec, receipt in self._receipts:
            tail = receipt.job_id[-26:]
            there = tail in witness.jobs or tail in witness.gone
            witness.expect(there, "I1", f"{tail}: acknowledged as {receipt.outcome}, and lost")
            if spec.idempotency_key and not witness.gone:
                holders.setdefault(spec.idempotency_key, set()).add(tail)
        for key, tails in holders.items():
            witness.expect(len(tails) == 1, "I3", f"{key} stands for {sorted(tails)}")
        for tail in self._cancelled - witness.gone:
            seen = witness.jobs.get(tail)
            state = seen.record["s"].decode() if seen else "gone"
            witness.expect(state == "C", "I4", f"{tail}: was told CANCELLED, is {state}")

    # Inside.

    def _new(self) -> NewJob:
        chance, number = self._chance, len(self._specs)
        options: dict[str, Any] = {}
        if not self._life.calm:
            options = {
                "priority": chance.choice([None, *Priority]),
                "delay_ms": chance.choice([None, None, None, 0, 300, 5_000]),
                "expires_in_ms": chance.choice([None] * 4 + [3_000, 30_000]),
                "max_attempts": chance.choice([1, 3]),
                "backoff": Backoff(initial_ms=chance.choice([0, 100, 1_000])),
                "timeout_ms": chance.choice([None, None, 2_000]),
                "idempotency_key": chance.choice(["", "", "", "k0", "k1"]),
            }
            if chance.random() < 0.15:
                policy = CachePolicy(CACHED_MS, "=c0", chance.choice([(), ("t0",)]))
                for name in ("delay_ms", "idempotency_key"):
                    del options[name]
                options["cache"] = policy
        spec = NewJob(
            type="work" if "cache" in options else chance.choice(["work", "toil"]),
            queue="q",
            request_id=f"{self._name} {number}",
            payload=Content(chance.choice(WORKS)),
            **options,
        )
        self._specs.append(spec)
        return spec

    async def _submit(self, spec: NewJob) -> None:
        try:
            receipt = await self._ask(lambda broker: broker.jobs.submit(spec))
        except AlreadyExists as error:
            self._check_conflict(spec, error.job_id)
            return
        except DomainError:
            return
        if receipt is None:
            return
        self._check_receipt(spec, receipt)
        self._receipts.append((spec, receipt))
        # One watcher a job, since a gateway serves those of one job in no order.
        watched = any(watcher.job_id == receipt.job_id for watcher in self.watchers)
        if self._chance.random() < 0.5 and not watched:
            self.watchers.append(Watcher(self._life, receipt.job_id))

    def _check_receipt(self, spec: NewJob, receipt: Submitted) -> None:
        """Of equal requests, each answer tells of the same job; unless the first was forgotten."""
        witness = self._life.witness
        seen = witness.jobs.get(receipt.job_id[-26:])
        # One whose job has been forgotten meanwhile needs no more.
        if seen is not None and receipt.outcome is SubmitOutcome.JOINED and spec.idempotency_key:
            payload = seen.record.get("p")
            same = payload is None or payload == spec.payload.data
            witness.expect(same, "I3", f"{receipt.job_id}: joined, though it does other work")
        for earlier, first in self._receipts:
            if earlier is spec and first.outcome is not SubmitOutcome.JOINED and not witness.gone:
                witness.expect(
                    first.job_id == receipt.job_id or receipt.outcome is SubmitOutcome.JOINED,
                    "I3",
                    f"{spec.request_id}: first {first.job_id}, then {receipt.job_id}",
                )

    def _check_conflict(self, spec: NewJob, job_id: str) -> None:
        """Only an idempotency key collides here: request ids are unique to their work."""
        self._life.witness.expect(
            spec.idempotency_key, "I3", f"{spec.request_id}: refused as other work than {job_id}"
        )

    async def _cancel(self, job_id: str) -> None:
        try:
            job = await self._ask(lambda broker: broker.jobs.cancel(job_id, "enough"))
        except NotFound:
            return
        tail = job_id[-26:]
        if job is not None and job.state.value == "C":
            self._cancelled.add(tail)
        if job is not None and job.state.value == "R":
            self._life.witness.expect(job.cancel_requested, "cancel", f"{tail}: it was not noted")

    async def _retry(self, job_id: str) -> None:
        number = f"again {len(self._specs)}"
        try:
            await self._ask(lambda broker: broker.jobs.retry(job_id, number))
        except DomainError:
            return

    async def _limit(self) -> None:
        key = PolicyKey("q", self._chance.choice(["", "work"]))
        most = self._chance.choice([None, 2, 3])
        if most is None:
            await self._ask(lambda broker: broker.policies.delete(key))
        else:
            policy = Policy(concurrency=most)
            await self._ask(lambda broker: broker.policies.put(key, policy))


OTHERS = ["again", "again", "cancel", "cancel", "retry", "invalidate", "limit"]


class Watcher:
    """One who watches a job to its end, at one gateway after another."""

    def __init__(self, life: Life, job_id: str) -> None:
        self._life = life
        self.job_id = job_id
        self._cursor = 0
        self._last: Event | None = None
        self._task = asyncio.create_task(self._watch())

    async def finish(self) -> None:
        """Returns once it has seen the end of its job, which must have come by now."""
        await asyncio.wait([self._task], timeout=60.0)
        self._life.witness.expect(
            self._task.done(), "I8", f"{self.job_id}: its watcher stands at {self._cursor}"
        )
        if self._task.done():
            self._task.result()
        else:
            self._task.cancel()

    async def _watch(self) -> None:
        while not (self._last is not None and is_terminal(self._last)):
            gateway = self._life.any_gateway()
            task = gateway.process.start(self._watch_at(gateway.hub))
            patience_s = 60.0 if self._life.calm else self._life.chance.choice([0.5, 5.0, 30.0])
            await asyncio.wait([task], timeout=patience_s)
            if not task.done():
                task.cancel()
                continue
            error = None if task.cancelled() else task.exception()
            if isinstance(error, NotFound):
                return  # Its time was over.
            if isinstance(error, CursorOutOfRange):
                # Unless it was forgotten, and submitted anew.
                gone = self._life.witness.gone
                self._life.witness.expect(gone, "I8", f"{self.job_id}: {error}")
                return
            if error is not None and not isinstance(error, PenstockError):
                raise error
        self._check_end()

    async def _watch_at(self, hub: Any) -> None:  # noqa: ANN401 - mypy would have it imported.
        with hub.watch(self.job_id, self._cursor) as watcher:
            while self._last is None or not is_terminal(self._last):
                for event in await watcher.next():
                    self._take(event)

    def _take(self, event: Event) -> None:
        expect = self._life.witness.expect
        over = self._last is not None and is_terminal(self._last)
        expect(not over, "I8", f"{self.job_id}: {event} after its end")
        expect(
            event.first_sequence == self._cursor + 1,
            "I8",
            f"{self.job_id}: {event.first_sequence} to {event.last_sequence} after {self._cursor}",
        )
        self._cursor = event.last_sequence
        self._last = event

    def _check_end(self) -> None:
        """Right after the watcher was told of the end."""
        clock, witness = self._life.clock, self._life.witness
        late_s = clock.now_s - witness.ended_at_s.get(self.job_id[-26:], clock.now_s)
        self._life.witness.expect(
            not self._life.calm or late_s <= TOLD_WITHIN_S,
            "I8",
            f"{self.job_id}: its watcher was told of its end {late_s:.1f} s later",
        )
        seen = self._life.witness.jobs.get(self.job_id[-26:])
        if seen is None or self._last is None or self._life.witness.gone:
            return
        told = self._last.body.state.value  # type: ignore[union-attr] # It is terminal.
        self._life.witness.expect(
            told == seen.record["s"].decode() and told in ENDED,
            "I8",
            f"{self.job_id}: its stream ended with {told}, it is {seen.record['s']!r}",
        )
        self._life.witness.expect(
            self._cursor == int(seen.record["n"]),
            "I8",
            f"{self.job_id}: {self._cursor} of {int(seen.record['n'])} events were told",
        )
