"""The doorbell: about one idle worker is woken per job, and nobody is woken for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.broker.doorbell import BELL_TTL_MS, IDLE_FOR_MS
from penstock.broker.ids import queue_code
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from penstock.broker import Broker
    from tests.broker.rig import Rig


@pytest.fixture
def hint(rig: Rig) -> bytes:
    """What a bell says about the slot of the rig."""
    return f"{rig.slot.queue_code}:{rig.slot.partition}".encode()


async def idle(rig: Rig, *worker_ids: str) -> None:
    for worker_id in worker_ids:
        await rig.broker.doorbell.idle(worker_id, [rig.slot.queue_code])


async def ring(rig: Rig, jobs: int) -> None:
    """Rings, and waits until the server has heard it."""
    rig.broker.doorbell.ring(rig.slot, jobs)
    await rig.call("PING")


async def bells(rig: Rig, *worker_ids: str) -> list[list[bytes]]:
    names = rig.broker.engine.names
    return [await rig.call("LRANGE", names.bell(worker_id), 0, -1) for worker_id in worker_ids]


async def test_one_worker_is_woken_per_job_the_longest_idle_first(rig: Rig, hint: bytes) -> None:
    now_ms = 1_000 * int((await rig.call("TIME"))[0])
    names = rig.broker.engine.names
    await idle(rig, "c", "a", "b", "d")
    for age_ms, worker_id in enumerate("dcba"):
        await rig.call("ZADD", names.idle(rig.slot.queue_code), now_ms - 100 * age_ms, worker_id)
    await ring(rig, 2)
    assert await bells(rig, "a", "b", "c", "d") == [[hint], [hint], [], []]
    await ring(rig, 1)
    assert await bells(rig, "c", "d") == [[hint], []]


async def test_no_more_are_woken_than_are_idle(rig: Rig, hint: bytes) -> None:
    await idle(rig, "a", "b")
    await ring(rig, 1_000)
    await ring(rig, 1_000)
    assert await bells(rig, "a", "b") == [[hint], [hint]]


async def test_each_submit_rings_once(rig: Rig, hint: bytes) -> None:
    await idle(rig, "a", "b", "c")
    await rig.submit()
    await rig.call("PING")
    assert sum(map(len, await bells(rig, "a", "b", "c"))) == 1
    await rig.broker.jobs.submit_many([rig.new_job(), rig.new_job()])
    await rig.call("PING")
    assert await bells(rig, "a", "b", "c") == [[hint]] * 3


async def test_jobs_that_come_due_and_jobs_that_come_back_ring(rig: Rig, hint: bytes) -> None:
    due = await rig.submit(delay_ms=60_000)
    await rig.come_due(due)
    await idle(rig, "a")
    await rig.broker.housekeeper.visit(rig.slot)
    await rig.call("PING")
    assert await bells(rig, "a") == [[hint]]

    await rig.broker.attempts.claim(rig.slot, "lost", 1, lease_ms=20)
    await idle(rig, "b")

    async def rung() -> bool:
        await rig.broker.housekeeper.visit(rig.slot)
        return await bells(rig, "b") == [[hint]]

    await eventually(rung, "the lost job rings")


async def test_dead_idle_workers_are_passed_over(rig: Rig, hint: bytes) -> None:
    now_ms = 1_000 * int((await rig.call("TIME"))[0])
    await idle(rig, "dead", "alive")
    names = rig.broker.engine.names
    dead_ms = now_ms - IDLE_FOR_MS - 2_000
    await rig.call("ZADD", names.idle(rig.slot.queue_code), dead_ms, "dead")
    await ring(rig, 1)
    assert await bells(rig, "dead", "alive") == [[], [hint]]
    assert await rig.call("EXISTS", names.idle(rig.slot.queue_code)) == 0


async def test_a_heap_of_dead_workers_neither_lasts_nor_holds_the_server(
    rig: Rig, hint: bytes
) -> None:
    idle_set = rig.broker.engine.names.idle(rig.slot.queue_code)

    async def heap() -> None:
        dead = (part for number in range(500) for part in (number, f"dead-{number}"))
        await rig.call("ZADD", idle_set, *dead)

    await heap()
    await ring(rig, 1)
    assert await rig.call("ZCARD", idle_set) >= 350
    await idle(rig, "alive")
    assert await rig.call("ZCARD", idle_set) == 1
    await ring(rig, 1)
    assert await bells(rig, "alive") == [[hint]]


async def test_a_worker_is_rung_for_the_queues_that_it_serves(rig: Rig, hint: bytes) -> None:
    codes = [rig.slot.queue_code, queue_code("default", "another")]
    await rig.broker.doorbell.idle("both", codes)
    await rig.broker.doorbell.idle("another", codes[1:])
    await ring(rig, 2)
    assert await bells(rig, "both", "another") == [[hint], []]


async def test_a_bell_that_nobody_answers_stays_small_and_ends(rig: Rig) -> None:
    for _ in range(40):
        await idle(rig, "a")
        await ring(rig, 1)
    bell = rig.broker.engine.names.bell("a")
    assert await rig.call("LLEN", bell) == 32
    assert 0 < await rig.call("PTTL", bell) <= BELL_TTL_MS


async def test_a_worker_is_told_of_a_cancel(rig: Rig) -> None:
    await rig.submit()
    (grant,) = await rig.claim(worker_id="a")
    await rig.broker.jobs.cancel(grant.job_id, "stop")
    assert await bells(rig, "a") == [[b"!" + grant.job_id.encode()]]
    bell = rig.broker.engine.names.bell("a")
    assert 0 < await rig.call("PTTL", bell) <= BELL_TTL_MS


async def test_a_hint_of_a_cancel_is_one_command_and_outlives_nobody(rig: Rig) -> None:
    """Two commands, and a gateway killed between them left a bell behind for ever."""
    before = rig.broker.link.stats.commands
    bell = rig.broker.engine.names.bell("gone")
    for number in range(40):
        rig.broker.doorbell.tell_cancel("gone", rig.slot.job_id(f"{number:026}"))
    assert await rig.call("LLEN", bell) == 32
    assert rig.broker.link.stats.commands - before <= 41
    assert 0 < await rig.call("PTTL", bell) <= BELL_TTL_MS


async def test_a_flushed_server_learns_to_ring_again(rig: Rig, other: Broker, hint: bytes) -> None:
    await idle(rig, "a")
    await other.link.call("SCRIPT", "FLUSH")
    await ring(rig, 1)  # Is lost, which costs a poll; and teaches the script.
    await rig.call("PING")
    await ring(rig, 1)
    assert await bells(rig, "a") == [[hint]]


async def test_ringing_without_a_connection_harms_nobody(rig: Rig, other: Broker) -> None:
    await other.close()
    other.doorbell.ring(rig.slot, 1)
    other.doorbell.tell_cancel("a", rig.slot.job_id("0" * 26))
    assert await bells(rig, "a") == [[]]
