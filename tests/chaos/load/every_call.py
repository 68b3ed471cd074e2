"""Everything that can be asked of a service, again and again, so that every script is sent.

Whatever is sent under a request id is sent a second time, and must be answered with the same job.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

from penstock.broker import ids
from penstock.broker.keys import Slot
from penstock.client import (
    AlreadyExists,
    CachePolicy,
    FailedPrecondition,
    JobState,
    NewJob,
    NotFound,
    Overlap,
    Schedule,
    WaitTimeout,
)
from tests.chaos.load.loops import Loops
from tests.chaos.load.plan import QUEUE, TYPES
from tests.chaos.load.recorder import Recorder, Submit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.client import AsyncClient
    from tests.chaos.history.journal import Journal
    from tests.chaos.load.plan import Plan
    from tests.chaos.result import Result

__all__ = ["CALLS_QUEUE", "LIMITED_QUEUE", "EveryCall"]

#: Of jobs that are not in the history: of schedules, of messages, and those soon forgotten.
CALLS_QUEUE: Final = "calls"
LIMITED_QUEUE: Final = "calls.limited"
#: No answer of a service that is killed now and then takes longer (s).
PATIENCE_S: Final = 90.0
#: For so long it is waited at a time where patience begins only later (s).
SPELL_S: Final = 10.0
PAUSE_S: Final = 0.15
#: For so many pauses a job that is to be cancelled may wait until it runs.
LOOKS: Final = 20
#: Id of a schedule.
STANDING: Final = "call-standing"
#: Crashes that quarantine a job, as the processes have it by default in a world.
MOST_CRASHES: Final = 50


class EveryCall(Loops):
    """Makes every call, several side by side, for as long as it is entered.

    Args:
        client: to all gateways.
        journal: takes the history of the jobs that are submitted to the queue of the chaos run.
        result: takes what went wrong.
        redis: sends the server a command.

    Attributes:
        repeated: calls that were sent twice under one request id.
    """

    def __init__(
        self,
        client: AsyncClient,
        journal: Journal,
        result: Result,
        redis: Callable[..., Awaitable[Any]],
    ) -> None:
        super().__init__(PAUSE_S)
        self._client = client
        self._calls = Recorder(client, journal, itertools.count(1_000_000))
        self._result = result
        self._redis = redis
        self._numbers = itertools.count(1)
        self._standing_job = ""
        self.repeated = 0

    async def __aenter__(self) -> Self:
        # One is always there, so that walks over all schedules find something.
        with suppress(AlreadyExists):
            await self._client.create_schedule(STANDING, self._schedule())
        self._standing_job = await self._note(delay=86_400)
        for calls in (
            self._do_jobs,
            self._do_long_jobs,
            self._do_cached,
            self._do_schedules,
            self._do_topics,
            self._do_policies,
            self._do_queues,
            self._do_suspects,
            self._do_losses,
        ):
            self.begin(calls.__name__.removeprefix("_do_"), calls)
        return self

    async def finish(self) -> None:
        """Lets those under way come to their end, and clears up."""
        await super().finish()
        await self._client.delete_schedule(STANDING)
        await self._client.cancel(self._standing_job)

    def failed(self, loop: str, error: Exception, /) -> None:
        """See `Loops`."""
        self._result.expect(None, "calls", f"{loop}: {type(error).__name__}: {error}")

    async def _ended(self, wait: Callable[..., Awaitable[object]]) -> None:
        """Waits for a job. The only worker is killed and suspended: patience begins after that.

        Args:
            wait: for so long (`timeout`, in seconds); raises `WaitTimeout`.
        """
        while not self.stopping:
            with suppress(WaitTimeout):
                await wait(timeout=SPELL_S)
                return
        await wait(timeout=PATIENCE_S)

    async def _watched(self, job: str) -> None:
        """Watches a job to its end, with such patience."""
        cursor = 0

        async def watch(timeout: float) -> None:  # noqa: ASYNC109 - of each look.
            nonlocal cursor
            try:
                async with (
                    asyncio.timeout(timeout),
                    self._client.watch(job, after=cursor) as events,
                ):
                    async for event in events:
                        cursor = event.last_sequence
            except TimeoutError as error:
                raise WaitTimeout(job, timeout, None) from error

        await self._ended(watch)

    # Jobs of the history.

    async def _submit(self, plan: Plan, type_: str = TYPES[0], **options: Any) -> str:  # noqa: ANN401 - of a submit.
        """Submits a job twice under one request id. Returns its id."""
        name = f"call-{next(self._numbers)}"
        plan["work"] = name
        submit = Submit(type_, plan, name, {"queue": QUEUE, "max_attempts": 30, **options})
        first = await self._calls.submit(submit)
        again = await self._calls.submit(submit)
        self._same(first, again, name)
        return first

    def _same(self, first: str, again: str, what: str) -> None:
        self.repeated += 1
        self._result.expect(
            first == again, "I3", f"{what} was first job {first}, and repeated job {again}"
        )

    async def _do_jobs(self) -> None:
        plain = await self._submit({})
        failing = await self._submit({"fail": 1, "retry_ms": 20})
        soon = await self._submit({}, delay=0.1)
        dead = await self._submit({}, delay=60, expires_in=0.2)
        await self._calls.submit_many(
            [
                Submit(TYPES[1], {"work": name}, name, {"queue": QUEUE})
                for name in (f"call-{next(self._numbers)}" for _ in range(3))
            ]
        )
        for job in (plain, failing, soon, dead):
            await self._ended(partial(self._calls.wait, job))
            await self._calls.status(job)
        await self._calls.list_page(QUEUE, ["SUCCEEDED"])

    async def _do_long_jobs(self) -> None:
        talking = await self._submit(
            {"steps": 4, "step_ms": 50, "progress": True, "chunks": True, "checkpoint": True}
        )
        hanging = await self._submit({"hang": True}, TYPES[1])
        for _ in range(LOOKS):
            if (await self._calls.status(hanging)).state is JobState.RUNNING:
                break
            await asyncio.sleep(PAUSE_S)
        await self._calls.cancel(hanging)
        await self._watched(talking)
        await self._ended(partial(self._calls.wait, hanging))
        request = f"call-{next(self._numbers)}"
        first = await self._calls.retry(hanging, request)
        self._same(first, await self._calls.retry(hanging, request), request)
        await self._calls.cancel(first)

    # Jobs of no history.

    async def _note(self, **options: Any) -> str:  # noqa: ANN401 - of a submit.
        options = {"queue": CALLS_QUEUE, "request_id": f"call-{next(self._numbers)}", **options}
        first = await self._client.submit("call.note", 1, **options)
        again = await self._client.submit("call.note", 1, **options)
        self._same(first.job_id, again.job_id, options["request_id"])
        return first.job_id

    async def _do_cached(self) -> None:
        policy = CachePolicy(60, key=f"key-{next(self._numbers) % 3}", tags=["calls"])
        for _ in range(2):
            handle = await self._client.submit(
                "call.note", 1, queue=CALLS_QUEUE, cache=policy, retention=1
            )
            with suppress(NotFound):  # It may be forgotten by then.
                await self._ended(handle.wait)
        await self._client.invalidate("call.note", key="key-0")
        forgetful = await self._client.submit("call.forget", "calls", queue=CALLS_QUEUE)
        await self._ended(forgetful.wait)

    @staticmethod
    def _schedule() -> Schedule:
        job = NewJob("call.note", 2, queue=CALLS_QUEUE)
        return Schedule(job, every=1, overlap=Overlap.ALLOW)

    async def _do_suspects(self) -> None:
        """Jobs that have crashed as often as they may: their records are made to say so."""
        job_id = await self._note(delay=0.3)
        slot, tail = _place_of(job_id)
        await self._redis("HSET", slot.record(tail), "k", MOST_CRASHES - 1, "a", MOST_CRASHES - 1)
        # Workers are killed that wait to have it run alone, and that again and again.
        await self._ended(partial(self._client.wait, job_id))

    async def _do_losses(self) -> None:
        """Jobs that a foreign hand takes out of their place, so that records are walked over."""
        job_id = await self._note(delay=60)
        slot, tail = _place_of(job_id)
        await self._redis("ZREM", slot.due(), tail)
        await asyncio.sleep(2)
        await self._client.cancel(job_id)

    async def _do_schedules(self) -> None:
        name = f"call-{next(self._numbers)}"
        definition = self._schedule()
        with suppress(AlreadyExists):  # By the first try of this very call.
            await self._client.create_schedule(name, definition)
        await self._client.pause_schedule(name)
        await self._client.resume_schedule(name)
        first = await self._client.trigger_schedule(name, request_id=name)
        again = await self._client.trigger_schedule(name, request_id=name)
        self._same(first.job_id, again.job_id, name)
        await self._client.update_schedule(name, definition)
        await asyncio.sleep(1)
        await self._client.get_schedule(name)
        _ = [info async for info in self._client.schedules()]
        await self._client.delete_schedule(name)

    async def _do_topics(self) -> None:
        message = f"call-{next(self._numbers)}"
        await self._client.put_topic_rule("call.**", attempts=5)
        await self._client.subscribe("call.note", "call.**", queue=CALLS_QUEUE)
        first = await self._client.publish("call.done", 3, message_id=message)
        again = await self._client.publish("call.done", 3, message_id=message)
        jobs = [sorted(job.job_id for job in each.jobs) for each in (first, again)]
        self._same(str(jobs[0]), str(jobs[1]), message)
        await self._client.topic_rules()
        await self._client.unsubscribe("call.note")
        await self._client.delete_topic_rule("call.**")

    async def _do_policies(self) -> None:
        queue = LIMITED_QUEUE
        await self._client.set_queue_policy(queue, "call.note", concurrency=1)
        await self._note(queue=queue, retention=1)
        await self._client.queue_policy(queue, "call.note")
        await self._client.queue_policies()
        await asyncio.sleep(1)
        await self._client.delete_queue_policy(queue, "call.note")

    async def _do_queues(self) -> None:
        queue = f"calls.{next(self._numbers) % 20}"
        await self._note(queue=queue, delay=60)
        await self._note(retention=1)
        await self._client.submit(
            "call.nobody", queue=CALLS_QUEUE, allow_unregistered=True, expires_in=3
        )
        await self._client.queue_stats(queue)
        await self._client.pause_queue(queue)
        await self._client.resume_queue(queue)
        await self._client.purge_queue(queue)
        await self._client.clean_queue(queue, ["CANCELLED"])
        with suppress(FailedPrecondition):
            await self._client.redrive(CALLS_QUEUE)
        await self._client.queues()
        await self._client.workers()


def _place_of(job_id: str) -> tuple[Slot, str]:
    """Slot and tail of a job in the namespace `default`."""
    partition, code, tail = ids.split(job_id) or (0, "", "")
    return Slot(ids.namespace_code("default"), code, partition), tail
