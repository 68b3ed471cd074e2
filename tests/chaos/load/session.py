"""One session of a client: it draws what to do next, by seed, and does it."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from penstock.client import PenstockError, ResourceExhausted
from tests.chaos.load.drawing import draw, draw_options, draw_plan, draw_type
from tests.chaos.load.plan import FOR_EVER, QUEUE, TYPES, Plan
from tests.chaos.load.recorder import Recorder, Submit

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable

    from tests.chaos.load.drawing import Options

__all__ = ["Session"]

#: How long a job is waited for (s), in all; far longer than any fault lasts.
_FOLLOW_S: Final = 90.0
_BACK_OFF_S: Final = 1.0
#: What hangs until it is cancelled expires then, should the cancel be lost (s).
_HANG_S: Final = 20.0
_REMEMBERED: Final = 40


class Session:
    """Does one thing after another.

    Args:
        calls: its calls.
        take: waits until so many jobs may be submitted.
        stopping: set once nothing new is to be begun.
        name: unique in the run.
        chance: decides.
    """

    def __init__(
        self,
        calls: Recorder,
        take: Callable[[int], Awaitable[None]],
        stopping: asyncio.Event,
        name: str,
        chance: random.Random,
    ) -> None:
        self._calls = calls
        self._take = take
        self._stopping = stopping
        self._name = name
        self._chance = chance
        self._count = 0
        self._sent: deque[Submit] = deque(maxlen=_REMEMBERED)
        self._jobs: deque[str] = deque(maxlen=_REMEMBERED)
        self._acts: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._submit_and_wait, 3),
            (self._submit_and_watch, 3),
            (self._submit_and_poll, 3),
            (self._submit_batch, 6),
            (self._submit_and_cancel, 1),
            (self._submit_again, 2),
            (self._submit_by_key, 1),
            (self._submit_cached, 1),
            (self._look_back, 2),
            (self._retry, 1),
            (self._list, 0.5),
        ]

    async def run(self) -> None:
        """Goes on until it is told to stop."""
        acts, weights = zip(*self._acts, strict=True)
        while not self._stopping.is_set():
            (act,) = self._chance.choices(acts, weights)
            try:
                await act()
            except ResourceExhausted:
                await asyncio.sleep(_BACK_OFF_S)
            except PenstockError:
                pass  # It is in the journal, and the next act is another.

    # The acts.

    async def _submit_and_wait(self) -> None:
        job = await self._submit(self._new())
        await self._calls.wait(job, _FOLLOW_S)
        await self._calls.status(job)

    async def _submit_and_watch(self) -> None:
        job = await self._submit(self._new())
        cursor, ended = 0, False
        while not ended:
            at_most = self._chance.choice([None, None, 1, 3])
            cursor, ended = await self._calls.watch(job, cursor, at_most)
        await self._calls.status(job)

    async def _submit_and_poll(self) -> None:
        job = await self._submit(self._new())
        pause_s = 0.005
        for _ in range(200):
            seen = await self._calls.status(job)
            if seen.done:
                break
            pause_s = min(pause_s * 1.6, 1.0)
            await asyncio.sleep(pause_s)

    async def _submit_batch(self) -> None:
        size = self._chance.randint(2, 24)
        submits = [self._new(plain=True) for _ in range(size)]
        if self._chance.random() < 0.2:
            submits.append(self._chance.choice(submits))
        await self._take(len(submits))
        if self._stopping.is_set():
            return
        jobs = await self._calls.submit_many(submits)
        self._sent.extend(submits[:2])
        self._jobs.extend(jobs[:2])
        if jobs:
            await self._calls.wait(jobs[-1], _FOLLOW_S)

    async def _submit_and_cancel(self) -> None:
        plan, options = self._plan(), self._options()
        if self._chance.random() < 0.5:
            plan |= {"hang": True}
            options["expires_in"] = _HANG_S
        else:
            options["delay"] = self._chance.uniform(0, 2)
        job = await self._submit(self._send(plan, options))
        await asyncio.sleep(self._chance.choice([0, 0.02, 0.1, 0.5]))
        await self._calls.cancel(job)
        await self._calls.wait(job, _FOLLOW_S)

    async def _submit_again(self) -> None:
        """A request id once more: with the same work, or with other work, which is refused."""
        if not self._sent:
            return
        before = self._chance.choice(self._sent)
        if self._chance.random() < 0.7:
            await self._calls.submit(before)
            return
        other = self._other(before.payload)
        await self._calls.submit(Submit(before.type, other, before.request, before.options))

    async def _submit_by_key(self) -> None:
        """A key, twice at once, and perhaps with other work, which is refused."""
        options = {**self._options(), "idempotency_key": f"key-{self._next_name()}"}
        first = self._send(self._plan(), options)
        job = await self._submit(first)
        again = Submit(first.type, first.payload, self._next_name(), options)
        await self._calls.submit(again)
        if self._chance.random() < 0.5:
            other = self._other(first.payload)
            await self._calls.submit(Submit(first.type, other, self._next_name(), options))
        await self._calls.wait(job, _FOLLOW_S)

    async def _submit_cached(self) -> None:
        """One of a few pieces of work that all sessions share."""
        plan: Plan = {"work": f"cached-{self._chance.randrange(8)}"}
        policy = {"ttl": float(self._chance.choice([1, 5])), "key": plan["work"]}
        submit = Submit(TYPES[0], plan, self._next_name(), {**self._options(), "cache": policy})
        await self._take(1)
        job = await self._calls.submit(submit)
        await self._calls.wait(job, _FOLLOW_S)

    async def _look_back(self) -> None:
        if self._jobs:
            await self._calls.status(self._chance.choice(self._jobs))

    async def _retry(self) -> None:
        """A job that fails, and a new one made from it; by the same request id it is the same."""
        plan: Plan = {"work": self._next_name(), "fail": FOR_EVER}
        if self._chance.random() < 0.5:
            plan = {"work": plan["work"], "cancel": True}
        job = await self._submit(self._send(plan, {**self._options(), "max_attempts": 2}))
        ended = await self._calls.wait(job, _FOLLOW_S)
        if not ended.done:
            return
        request = self._next_name()
        for _ in range(self._chance.randint(1, 2)):
            await self._calls.retry(job, request)

    async def _list(self) -> None:
        states = self._chance.choice([("RUNNING", "QUEUED"), ("SUCCEEDED",), ("FAILED",), ()])
        await self._calls.list_page(QUEUE, states)

    # What is submitted.

    async def _submit(self, submit: Submit) -> str:
        await self._take(1)
        self._sent.append(submit)
        job = await self._calls.submit(submit)
        self._jobs.append(job)
        return job

    def _new(self, *, plain: bool = False) -> Submit:
        return self._send(*draw(self._chance, self._next_name(), plain=plain))

    def _send(self, plan: Plan, options: Options) -> Submit:
        return Submit(draw_type(self._chance), plan, f"r-{plan['work']}", options)

    def _plan(self) -> Plan:
        return draw_plan(self._chance, self._next_name())

    def _options(self) -> Options:
        return draw_options(self._chance)

    def _other(self, plan: Plan) -> Plan:
        """The same plan under another name, and so other work."""
        other = plan.copy()
        other["work"] = self._next_name()
        return other

    def _next_name(self) -> str:
        self._count += 1
        return f"{self._name}:{self._count}"
