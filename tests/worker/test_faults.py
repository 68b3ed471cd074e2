"""Workers that are killed, suspended or cut off, and servers that are killed under them."""

import asyncio
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from penstock.broker import Backoff, Content, JobState, NewJob, StateChange, Submitted
from penstock.runtime._probe import ask
from penstock.runtime.embedded import EmbeddedServer
from penstock.worker import Context, StopReason, Worker
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.worlds.loop_lag import LoopLag
from tests.support.waiting import eventually
from tests.worker.rig import Rig

LEASE_S = 2.0


async def test_a_killed_worker_s_job_goes_on_elsewhere_from_its_checkpoint(
    rig: Rig, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    payload = {"steps": 3, "gate": str(gate)}
    async with rig.process("app", lease_s=LEASE_S) as victim:
        job_id = await rig.submit("climb", payload, max_attempts=1)
        first = await rig.progressed(job_id, at_least=3)
        async with rig.process("app", lease_s=LEASE_S) as heir:
            victim.signal(signal.SIGKILL)
            killed_ms = time.time() * 1000
            await victim.exited()

            async def taken_over() -> bool:
                return (await rig.job(job_id)).worker_id != first.worker_id

            await eventually(taken_over, "the other worker has the job", within_s=30)
            gate.touch()
            assert await rig.result(job_id) == [3, 3]
            heir.signal(signal.SIGTERM)
            assert await heir.exited() == 0
    job = await rig.job(job_id)
    # The crash cost none of the attempts, of which there was one.
    assert (job.attempt, job.crashes) == (2, 1)
    assert job.fencing_token > first.fencing_token
    assert job.started_ms is not None
    # Taken over when the lease had run out, but for what a busy machine adds.
    assert job.started_ms - killed_ms <= (LEASE_S + 4) * 1000
    assert (await rig.stats()).counters["lost"] == 1


async def test_a_suspended_worker_s_late_write_is_refused(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with rig.process("app", lease_s=LEASE_S) as sleeper:
        job_id = await rig.submit("blocked", str(gate))
        await rig.until(job_id, JobState.RUNNING)
        await eventually(lambda: _checkpointed(rig, job_id), "the handler holds the loop")
        sleeper.signal(signal.SIGSTOP)
        await rig.until(job_id, JobState.QUEUED, within_s=10)
        async with rig.process("app", lease_s=LEASE_S):
            job = await rig.until(job_id, JobState.RUNNING)
            gate.touch()
            assert await rig.result(job_id) == "late"
            sleeper.signal(signal.SIGCONT)

            async def refused() -> bool:
                return (await rig.stats()).counters.get("stale", 0) > 0

            await eventually(refused, "the late write has been refused", within_s=10)
    ended = await rig.job(job_id)
    assert (ended.worker_id, ended.fencing_token) == (job.worker_id, job.fencing_token)
    assert ended.crashes == 1
    terminal = [
        event.body
        for event in await rig.events(job_id)
        if isinstance(event.body, StateChange) and event.body.state.terminal
    ]
    assert terminal == [StateChange(JobState.SUCCEEDED, 2)]


async def test_a_suspended_worker_s_handler_is_stopped_when_it_wakes(
    rig: Rig, tmp_path: Path
) -> None:
    stopped = tmp_path / "stopped"
    async with rig.process("app", lease_s=LEASE_S) as sleeper:
        job_id = await rig.submit("watchful", str(stopped))
        await rig.progressed(job_id)
        sleeper.signal(signal.SIGSTOP)
        await rig.until(job_id, JobState.QUEUED, within_s=10)
        await rig.broker.jobs.cancel(job_id, "nobody is to run it again")
        sleeper.signal(signal.SIGCONT)
        await eventually(stopped.exists, "the handler has been stopped", within_s=10)
        # A renewal that was under way when it fell asleep tells only that it was too long ago.
        assert stopped.read_text() in {"LEASE_LOST", "UNREACHABLE"}
        # And the worker goes on.
        assert await rig.result(await rig.submit("quick", 5)) == 5


async def test_sigterm_hands_back_what_does_not_finish(rig: Rig) -> None:
    async with rig.process("app", drain_grace_s=0.2, stop_grace_s=0.2) as worker:
        endless = await rig.submit("endless")
        finishing = await rig.submit("draining")
        await rig.progressed(endless)
        await rig.progressed(finishing)
        worker.signal(signal.SIGTERM)
        assert await worker.exited() == 0
    job = await rig.job(endless)
    assert (job.state, job.attempt, job.crashes) == (JobState.QUEUED, 0, 0)
    assert await rig.result(finishing) == "finished within the grace"


async def test_a_second_signal_cuts_the_grace_short(rig: Rig) -> None:
    async with rig.process("app", drain_grace_s=600) as worker:
        job_id = await rig.submit("endless")
        await rig.progressed(job_id)
        worker.signal(signal.SIGTERM)

        async def draining() -> bool:
            return any(each.draining for each in await rig.broker.registry.workers())

        await eventually(draining, "the worker drains")
        worker.signal(signal.SIGINT)
        assert await worker.exited() == 128 + signal.SIGINT


async def test_the_server_is_killed_and_restarted_under_work(
    durable_rig: Rig, durable_server: EmbeddedServer
) -> None:
    app = Worker(slots=20)
    done = 0

    @app.job("steady")
    async def steady(number: int) -> int:
        nonlocal done
        await asyncio.sleep(0.001)
        done += 1
        return number

    def is_beyond(count: int) -> bool:
        return done > count

    async with durable_rig.working(app, lease_s=LEASE_S):
        receipts = await durable_rig.broker.jobs.submit_many(
            [
                NewJob(
                    type="steady",
                    queue="default",
                    request_id=f"steady-{number}",
                    payload=Content(str(number).encode()),
                    backoff=Backoff(10, 10),
                )
                for number in range(3_000)
            ]
        )
        jobs = [receipt.job_id for receipt in receipts if isinstance(receipt, Submitted)]
        assert len(jobs) == 3_000
        for _ in range(2):
            so_far = done
            await eventually(partial(is_beyond, so_far + 500), "work goes on", within_s=20)
            durable_server.kill()
            await asyncio.to_thread(durable_server.start)
        await durable_rig.broker.link.ready(10)

        async def all_done() -> bool:
            return (await durable_rig.stats()).succeeded == len(jobs)

        await eventually(all_done, "every job has succeeded", within_s=40)
        for number in range(0, 3_000, 100):
            assert await durable_rig.result(jobs[number]) == number


async def test_a_job_outlives_an_outage_that_is_shorter_than_its_lease(
    durable_rig: Rig, durable_server: EmbeddedServer
) -> None:
    app = Worker()
    gate = asyncio.Event()

    @app.job("patient")
    async def patient() -> str:
        await gate.wait()
        return "still here"

    async with durable_rig.working(app):
        job_id = await durable_rig.submit("patient")
        await durable_rig.until(job_id, JobState.RUNNING)
        durable_server.kill()
        gate.set()
        await asyncio.to_thread(durable_server.start)
        await durable_rig.broker.link.ready(10)
        assert await durable_rig.result(job_id) == "still here"
    job = await durable_rig.job(job_id)
    assert (job.attempt, job.crashes) == (1, 0)


async def test_a_handler_is_stopped_when_its_lease_cannot_be_renewed(
    durable_rig: Rig, durable_server: EmbeddedServer
) -> None:
    app = Worker()
    began = asyncio.Event()
    stops: list[StopReason | None] = []

    @app.job("cut.off")
    async def cut_off(ctx: Context) -> str:
        if stops:
            return "run again"
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stops.append(ctx.stop_reason)
        return "never"

    async with durable_rig.working(app, lease_s=1):
        job_id = await durable_rig.submit("cut.off")
        # RUNNING would not be enough: the worker may not have heard yet of the grant.
        await eventually(began.is_set, "the handler has begun")
        durable_server.kill()
        await eventually(lambda: stops, "the handler has been stopped", within_s=30)
        await asyncio.to_thread(durable_server.start)
        await durable_rig.broker.link.ready(10)
        assert await durable_rig.result(job_id) == "run again"
    assert stops == [StopReason.UNREACHABLE]
    job = await durable_rig.job(job_id)
    # Handed back as soon as the server was there again, unless it was taken back before; with a
    # lease so short either may win. In no case has it failed.
    assert job.attempt == 1 + job.crashes
    assert job.failure is None


async def test_a_handler_learns_in_time_that_its_lease_cannot_be_renewed(
    rig: Rig, redis_server: EmbeddedServer
) -> None:
    lease_s = 4.0
    app = Worker()
    stopped_s: list[float] = []
    reasons: list[StopReason | None] = []

    @app.job("cut.off")
    async def cut_off(ctx: Context) -> None:
        ctx.progress(0, 1)
        try:
            await asyncio.Event().wait()
        finally:
            stopped_s.append(time.monotonic())
            reasons.append(ctx.stop_reason)

    async with rig.working(app, lease_s=lease_s), LoopLag() as lag:
        await rig.progressed(await rig.submit("cut.off"))
        # The server is there, and answers; it only takes no writes.
        ask(redis_server.socket_path, "REPLICAOF", "127.0.0.1", "1", timeout_s=10)
        cut_off_s = time.monotonic()
        try:
            await eventually(lambda: stopped_s, "the handler has been stopped", within_s=30)
        finally:
            ask(redis_server.socket_path, "REPLICAOF", "NO", "ONE", timeout_s=10)
            await rig.broker.link.ready(10)
    assert reasons[0] is StopReason.UNREACHABLE
    # The lease was renewed last before the server was cut off. What is left of it is for the
    # handler to stop; the slack is less than a renewal's interval, but for what a busy machine
    # adds: to the timer, and to the handler's turn after it.
    assert stopped_s[0] - cut_off_s < lease_s * 0.75 + 0.5 + 2 * lag.worst_s


@pytest.mark.timeout(180)
async def test_leases_are_kept_over_a_way_that_is_longer_than_a_renewal_s_interval(
    durable_rig: Rig, durable_server: EmbeddedServer
) -> None:
    lease_s, way_s = 12.0, 1.6
    app = Worker()
    begun = asyncio.Event()

    @app.job("far.away")
    async def far_away() -> str:
        begun.set()
        await asyncio.sleep(1.5 * lease_s)
        return "done"

    assert durable_server.port is not None
    async with (
        FaultProxy("127.0.0.1", durable_server.port) as link,
        durable_rig.working(app, redis_url=link.url, lease_s=lease_s),
    ):
        job_id = await durable_rig.submit("far.away")
        await eventually(begun.is_set, "the handler has begun", within_s=30)
        first = await _lease(durable_rig, job_id)

        async def renewed() -> bool:
            return await _lease(durable_rig, job_id) != first

        await eventually(renewed, "the lease has been renewed", within_s=30)
        # There and back it is longer than a quarter of the lease, after which it is renewed.
        link.delay_s = way_s
        job = await durable_rig.ended(job_id, within_s=60)
        link.restore()
    assert (job.state, job.attempt, job.crashes) == (JobState.SUCCEEDED, 1, 0)


async def _checkpointed(rig: Rig, job_id: str) -> bool:
    slot, tail, _ = await rig.broker.engine.locate(job_id)
    stored: int = await rig.broker.link.call("EXISTS", slot.checkpoint(tail))
    return stored == 1


async def _lease(rig: Rig, job_id: str) -> bytes | None:
    """The renewal that the server saw last."""
    slot, tail, _ = await rig.broker.engine.locate(job_id)
    score: bytes | None = await rig.broker.link.call("ZSCORE", slot.leases(), tail)
    return score
