"""Who gets which job, and when: slots, priorities, queues, the bell, unknown types."""

import asyncio
import time
from collections import Counter

from penstock.broker import JobState, NewJob, Priority, StateChange
from penstock.broker.attempts import CLAIM
from penstock.runtime.embedded import EmbeddedServer
from penstock.worker import Context, Worker
from tests.broker.relay import relay_to
from tests.support.waiting import eventually
from tests.worker.rig import Rig


async def test_no_more_jobs_run_than_there_are_slots(rig: Rig) -> None:
    app = Worker(slots=3)
    running, most = 0, 0

    @app.job("busy")
    async def busy() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1

    jobs = [await rig.submit("busy") for _ in range(50)]
    async with rig.working(app):
        for job_id in jobs:
            await rig.until(job_id, JobState.SUCCEEDED)
    assert most == 3


async def test_settings_come_before_the_app_s_defaults(rig: Rig) -> None:
    app = Worker("from.the.app", slots=3)
    async with rig.working(app, queues="one, two", slots=5):
        (info,) = await rig.broker.registry.workers()
    assert (info.queues, info.slots) == (("one", "two"), 5)


async def test_higher_priorities_come_first_and_lower_ones_are_not_starved(rig: Rig) -> None:
    app = Worker(slots=1)
    order: list[str] = []

    @app.job("noted")
    async def noted(name: str) -> None:
        order.append(name)

    jobs = [
        await rig.submit("noted", "default"),
        await rig.submit("noted", "low", priority=Priority.LOW),
        *[await rig.submit("noted", "high", priority=Priority.HIGH) for _ in range(40)],
    ]
    async with rig.working(app):
        for job_id in jobs:
            await rig.until(job_id, JobState.SUCCEEDED)
    assert order[:9] == ["high"] * 9
    assert order.index("default") < 10
    assert order.index("low") < 20


async def test_all_partitions_of_all_queues_are_served(rig: Rig) -> None:
    app = Worker(["one", "two"], slots=4)
    done: Counter[str] = Counter()

    @app.job("noted")
    async def noted(ctx: Context) -> None:
        done[ctx.queue] += 1

    async with rig.working(app, partitions=4):
        jobs = [
            await rig.submit("noted", queue=queue) for queue in ("one", "two") for _ in range(20)
        ]
        for job_id in jobs:
            await rig.until(job_id, JobState.SUCCEEDED)
    assert done == {"one": 20, "two": 20}
    assert len({job_id[:2] for job_id in jobs}) == 4


async def test_the_bell_wakes_an_idle_worker_at_once(rig: Rig) -> None:
    app = Worker()

    @app.job("quick")
    async def quick() -> None:
        pass

    async with rig.working(app):
        await rig.result(await rig.submit("quick"))
        began_s = time.monotonic()
        for _ in range(20):
            await rig.result(await rig.submit("quick"))
        # By polling, each would have taken a second or two.
        assert time.monotonic() - began_s < 10


async def test_a_lost_ring_costs_no_more_than_a_poll(rig: Rig) -> None:
    app = Worker()

    @app.job("quick")
    async def quick() -> None:
        pass

    async with rig.working(app):
        await rig.result(await rig.submit("quick"))
        # A submit as it is, but for the ring.
        job = NewJob(type="quick", queue="default", request_id="unheard")
        slot, script, args = await rig.broker.preparer.prepare(job, 5)
        _, tail, _ = await script.run(rig.broker.link, [slot.base], args)
        ended = await rig.ended(slot.job_id(tail.decode()))
    assert ended.state is JobState.SUCCEEDED
    assert ended.started_ms is not None
    assert ended.started_ms - ended.created_ms < 8_000


async def test_a_job_of_an_unknown_type_waits_for_a_worker_that_knows_it(rig: Rig) -> None:
    ignorant, knowing = Worker(), Worker()

    @knowing.job("special")
    async def special() -> str:
        return "done"

    async with rig.working(ignorant):
        job_id = await rig.submit("special")
        job = await rig.until(job_id, JobState.SCHEDULED)
        assert (job.attempt, job.crashes) == (0, 0)
        assert job.run_at_ms is not None
        assert 1_500 <= job.run_at_ms - job.created_ms <= 15_000
        last = (await rig.events(job_id))[-1].body
        why = "no handler for special here"
        assert last == StateChange(JobState.SCHEDULED, 0, why, job.run_at_ms)
    async with rig.working(knowing):
        assert await rig.result(job_id) == "done"
    assert (await rig.job(job_id)).attempt == 1
    assert (await rig.stats()).counters["misrouted"] == 1


async def test_a_grant_whose_reply_was_lost_is_handed_back(
    rig: Rig, redis_server: EmbeddedServer
) -> None:
    app = Worker()

    @app.job("quick")
    async def quick() -> None:
        pass

    jobs = [await rig.submit("quick") for _ in range(5)]
    async with relay_to(redis_server.socket_path) as relay:
        relay.lose(CLAIM.sha1)
        async with rig.working(app, redis_url=relay.url):
            ended = [await rig.until(job_id, JobState.SUCCEEDED) for job_id in jobs]
        assert relay.lost == 1
    for job in ended:
        # Granted twice, and neither as a failure nor as a crash: the lease did not have to expire.
        assert (job.attempt, job.crashes) == (1, 0)
        # Raised by each grant and by the handing back; the jobs of a partition share the count.
        assert job.fencing_token >= 3


async def test_a_worker_that_stops_is_rung_no_more(rig: Rig) -> None:
    app = Worker(["one", "two"])
    names = rig.broker.engine.names

    async def idle() -> list[int]:
        codes = [info.code for info in await rig.broker.queues.all()]
        return [await rig.broker.link.call("ZCARD", names.idle(code)) for code in codes]

    async def all_idle() -> bool:
        return await idle() == [1, 1]

    async with rig.working(app):
        await eventually(all_idle, "the worker says that it is idle")
    assert await idle() == [0, 0]


async def test_a_paused_queue_grants_nothing_until_it_is_resumed(rig: Rig) -> None:
    app = Worker()

    @app.job("quick")
    async def quick() -> None:
        pass

    async with rig.working(app):
        await rig.result(await rig.submit("quick"))
        await rig.broker.queues.pause("default")
        job_id = await rig.submit("quick")
        # It looks, and finds nothing: told by the tick of the bell's idle set.
        names = rig.broker.engine.names
        (code,) = {info.code for info in await rig.broker.queues.all()}

        async def idle() -> bool:
            waiting: int = await rig.broker.link.call("ZCARD", names.idle(code))
            return waiting == 1

        await eventually(idle, "the worker is idle again")
        assert (await rig.job(job_id)).state is JobState.QUEUED
        await rig.broker.queues.resume("default")
        await rig.until(job_id, JobState.SUCCEEDED)
