"""The durability `replicated`: what is acknowledged is on a replica, whatever happens then."""

from __future__ import annotations

import asyncio
import re
import shlex
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from penstock.broker import (
    Broker,
    BrokerOptions,
    Content,
    Durability,
    JobState,
    NewJob,
    NewSchedule,
    NotReplicated,
    PenstockError,
    ReplicationOptions,
    ReplyError,
    SchedulePolicy,
    SubmitOutcome,
    Submitted,
    Timing,
    UnsafeServer,
)
from penstock.broker.link import RedisLink
from tests.chaos.link.proxy import FaultProxy
from tests.support.processes import ROOT
from tests.support.replicas import Replicas
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

#: Of calls that are to be refused; nobody waits for longer than he must.
IN_A_HURRY: Final = ReplicationOptions(timeout_s=0.3)
#: Of calls that are to succeed, however slow the machine is.
PATIENT: Final = ReplicationOptions(timeout_s=30.0)
LEASE_MS: Final = 60_000
GUIDE: Final = (ROOT / "docs/operations.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def pair(server_binary: Path) -> Iterator[Replicas]:
    """A primary with a replica."""
    with Replicas(server_binary) as replicas:
        yield replicas


@pytest.fixture
async def address(pair: Replicas) -> AsyncIterator[FaultProxy]:
    """An address that leads to the primary, and may lead elsewhere later."""
    async with FaultProxy("127.0.0.1", pair.primary.port or 0) as proxy:
        yield proxy


def options(replication: ReplicationOptions | None = PATIENT) -> BrokerOptions:
    return BrokerOptions(minimum_durability=Durability.ALWAYS, replication=replication)


def new_job(request_id: str) -> NewJob:
    return NewJob("t", "q", request_id, payload=Content(b"{}"))


@asynccontextmanager
async def plain(url: str) -> AsyncIterator[RedisLink]:
    async with RedisLink(url) as link:
        yield link


async def holds(link: RedisLink, broker: Broker, job_id: str) -> bool:
    slot, tail, _ = await broker.engine.locate(job_id)
    return bool(await link.call("EXISTS", slot.record(tail)))


async def test_whoever_is_answered_is_on_the_replica(pair: Replicas) -> None:
    async with Broker(pair.primary.url, options()) as broker, plain(pair.replica.url) as replica:
        assert broker.durability is Durability.REPLICATED

        async def submit(number: int) -> bool:
            receipt = await broker.jobs.submit(new_job(f"r{number}"))
            return await holds(replica, broker, receipt.job_id)

        assert all(await asyncio.gather(*map(submit, range(200))))


async def test_all_who_come_during_a_round_share_the_next(pair: Replicas) -> None:
    async with Broker(pair.primary.url, options()) as broker, plain(pair.primary.url) as link:
        await broker.jobs.submit(new_job("first"))
        await link.call("CONFIG", "RESETSTAT")
        await asyncio.gather(*(broker.jobs.submit(new_job(f"r{n}")) for n in range(500)))
        stats = (await link.call("INFO", "commandstats")).decode()
        (waits,) = (line for line in stats.splitlines() if line.startswith("cmdstat_wait:"))
        assert int(waits.partition("calls=")[2].partition(",")[0]) < 100


async def test_a_server_without_replicas_is_refused_at_start(pair: Replicas) -> None:
    pair.replica.stop()
    with pytest.raises(UnsafeServer, match=r"REPLICATED is asked for: 1 replica.*Attach replicas"):
        async with Broker(pair.primary.url, options()):
            pass


async def test_more_replicas_than_there_are_are_refused_at_start(pair: Replicas) -> None:
    with pytest.raises(UnsafeServer, match=r"2 replica\(s\) must confirm"):
        async with Broker(pair.primary.url, options(ReplicationOptions(replicas=2))):
            pass


async def test_a_server_that_syncs_now_and_then_is_refused(pair: Replicas) -> None:
    async with plain(pair.primary.url) as link:
        await link.call("CONFIG", "SET", "appendfsync", "everysec")
    with pytest.raises(UnsafeServer, match="EVERYSEC"):
        async with Broker(pair.primary.url, options()):
            pass


async def test_without_its_replica_nothing_is_acknowledged_and_jobs_still_run(
    pair: Replicas,
) -> None:
    async with Broker(pair.primary.url, options(IN_A_HURRY)) as broker:
        # Not a hurry in which a slow machine would be refused what it may have.
        await settled(broker, "before")
        pair.replica.kill()
        with pytest.raises(NotReplicated, match="repeat the call"):
            await broker.jobs.submit(new_job("during"))
        with pytest.raises(NotReplicated):
            await broker.probe(5.0)
        # It is there all the same, can be read, and runs.
        queue = await broker.queues.get("q")
        grants = await broker.attempts.claim(broker.engine.slots(queue)[0], "w", 10, LEASE_MS)
        assert len(grants) == 2
        for grant in grants:
            await broker.attempts.complete(grant.job_id, grant.fencing_token, Content(b"1"))
        with pytest.raises(NotReplicated):
            await broker.jobs.cancel(grants[0].job_id, "why not")
        assert (await broker.jobs.get(grants[0].job_id)).state is JobState.SUCCEEDED

        pair.replica.start()
        pair.follow(pair.replica, pair.primary)
        receipt = await settled(broker, "during")
        assert receipt.outcome is SubmitOutcome.REPEATED
        assert receipt.job_id in {grant.job_id for grant in grants}


async def settled(broker: Broker, request_id: str) -> Submitted:
    """The receipt of a submit that is repeated until it is answered."""

    async def submitted() -> Submitted | None:
        try:
            return await broker.jobs.submit(new_job(request_id))
        except NotReplicated:
            return None

    receipt = await eventually(submitted, "the submit is acknowledged", within_s=60.0)
    assert receipt is not None
    return receipt


async def test_a_replica_that_hangs_for_a_moment_costs_no_error(pair: Replicas) -> None:
    async with Broker(pair.primary.url, options()) as broker, plain(pair.primary.url) as link:
        await broker.jobs.submit(new_job("before"))
        pair.pause(pair.replica)
        held = asyncio.create_task(broker.jobs.submit(new_job("held")))

        async def stored() -> bool:
            return len(await link.call("KEYS", "*:j:*")) == 2

        await eventually(stored, "the job is stored", within_s=30.0)
        assert not held.done()
        pair.resume(pair.replica)
        assert (await held).outcome is SubmitOutcome.CREATED


async def test_a_repeat_that_finds_its_job_waits_as_well(pair: Replicas) -> None:
    async with (
        Broker(pair.primary.url, options(None)) as careless,
        Broker(pair.primary.url, options(IN_A_HURRY)) as broker,
    ):
        pair.pause(pair.replica)
        receipt = await careless.jobs.submit(new_job("same"))
        assert receipt.outcome is SubmitOutcome.CREATED
        with pytest.raises(NotReplicated):
            await broker.jobs.submit(new_job("same"))
        pair.resume(pair.replica)
        repeated = await settled(broker, "same")
        assert (repeated.job_id, repeated.outcome) == (receipt.job_id, SubmitOutcome.REPEATED)


async def test_the_items_of_a_batch_are_refused_together(pair: Replicas) -> None:
    jobs = [new_job("one"), NewJob("t", "q", "late", deadline_ms=1), new_job("two")]
    async with Broker(pair.primary.url, options(IN_A_HURRY)) as broker:
        pair.pause(pair.replica)
        first, late, second = await broker.jobs.submit_many(jobs)
        assert isinstance(first, NotReplicated)
        assert isinstance(second, NotReplicated)
        assert isinstance(late, PenstockError)
        assert not isinstance(late, NotReplicated)
        pair.resume(pair.replica)

        async def answered() -> bool:
            answers = await broker.jobs.submit_many(jobs)
            return isinstance(answers[0], Submitted) and isinstance(answers[2], Submitted)

        await eventually(answered, "the batch is acknowledged", within_s=60.0)


async def test_a_confirmation_by_the_successor_is_none_for_what_it_never_had(
    pair: Replicas, address: FaultProxy
) -> None:
    successor, third = pair.replica, pair.server()
    async with FaultProxy("127.0.0.1", pair.primary.port or 0) as copying:
        await asyncio.to_thread(pair.follow, successor, pair.primary, copying.port)
        await asyncio.to_thread(pair.follow, third, successor)
        async with Broker(address.url, options()) as broker, plain(successor.url) as link:
            await broker.jobs.submit(new_job("before"))
            # From here on the successor hears nothing of what the primary executes.
            copying.frozen = True
            one = asyncio.create_task(broker.jobs.submit(new_job("one"), budget_s=60.0))
            batch = asyncio.create_task(
                broker.jobs.submit_many([new_job("two"), new_job("three")], budget_s=60.0)
            )
            async with plain(pair.primary.url) as primary:

                async def stored() -> bool:
                    return len(await primary.call("KEYS", "*:j:*")) == 4

                await eventually(stored, "the primary has executed them", within_s=30.0)
            assert not one.done()
            assert not batch.done()
            pair.primary.kill()
            pair.promote(successor)
            address.lead_to("127.0.0.1", successor.port or 0)
            # The successor has a replica, which confirms whatever it is asked.
            receipts = [await one, *await batch]
            for receipt in receipts:
                assert isinstance(receipt, Submitted)
                assert await holds(link, broker, receipt.job_id)


async def test_a_primary_that_was_replaced_and_lives_on_is_not_asked_for_ever(
    pair: Replicas, address: FaultProxy
) -> None:
    third = pair.server()
    pair.follow(third, pair.replica)
    async with Broker(address.url, options(ReplicationOptions(timeout_s=1.0))) as broker:
        await settled(broker, "before")
        # Nobody has told the old primary, and nothing cuts the connections to it.
        pair.promote(pair.replica)
        address.lead_to("127.0.0.1", pair.replica.port or 0)
        broker.link.renew("it was lost, alone")
        await settled(broker, "after")


async def test_no_acknowledged_submit_is_lost_with_the_primary(
    pair: Replicas, address: FaultProxy
) -> None:
    acknowledged: list[str] = []
    third = pair.server()
    pair.follow(third, pair.replica)

    async with Broker(address.url, options()) as broker:

        async def submit(client: int) -> None:
            for number in range(100_000):
                with suppress(PenstockError):
                    receipt = await broker.jobs.submit(new_job(f"{client}-{number}"))
                    acknowledged.append(receipt.job_id)

        clients = [asyncio.create_task(submit(client)) for client in range(20)]
        try:
            await eventually(lambda: len(acknowledged) > 200, "work is under way", within_s=60.0)
            pair.primary.kill()
            before = len(acknowledged)
            pair.promote(pair.replica)
            address.lead_to("127.0.0.1", pair.replica.port or 0)
            await eventually(
                lambda: len(acknowledged) > before + 200, "the successor serves", within_s=60.0
            )
        finally:
            for client in clients:
                client.cancel()
            await asyncio.wait(clients)
        async with plain(pair.replica.url) as successor:
            kept = await asyncio.gather(
                *(holds(successor, broker, job_id) for job_id in acknowledged)
            )
        assert kept.count(False) == 0


async def test_a_new_history_of_the_same_server_is_noticed(pair: Replicas) -> None:
    async with Broker(pair.primary.url, options()) as broker, plain(pair.primary.url) as link:
        await broker.jobs.submit(new_job("before"))
        connects = broker.link.stats.connects
        await link.call("DEBUG", "CHANGE-REPL-ID")
        pair.synced(pair.replica)
        receipt = await broker.jobs.submit(new_job("after"), budget_s=30.0)
        assert isinstance(receipt, Submitted)
        assert broker.link.stats.connects > connects


async def test_what_recurs_and_what_is_subscribed_is_held_back_too(pair: Replicas) -> None:
    async with Broker(pair.primary.url, options(IN_A_HURRY)) as broker:
        await settled(broker, "first")
        pair.pause(pair.replica)
        with pytest.raises(NotReplicated):
            await broker.queues.pause("q")
        with pytest.raises(NotReplicated):
            await broker.queues.purge("q")
        with pytest.raises(NotReplicated):
            await broker.topics.unsubscribe("nobody")


async def test_a_schedule_that_is_so_already_is_held_back_too(pair: Replicas) -> None:
    """What made it so may be a call that replicas have not confirmed, and that is repeated."""

    def hourly(name: str) -> NewSchedule:
        template = NewJob("t", "q", name, payload=Content(b"{}"))
        timing = Timing(interval_ms=3_600_000)
        return NewSchedule("hourly", timing, template, SchedulePolicy(), name.encode())

    async with Broker(pair.primary.url, options(IN_A_HURRY)) as broker:
        await settled(broker, "first")

        async def made() -> bool:
            with suppress(NotReplicated):
                await broker.schedules.create(hourly("one"))
                return True
            return False

        await eventually(made, "the schedule is there", within_s=60.0)
        pair.pause(pair.replica)
        for _ in range(2):
            with pytest.raises(NotReplicated):
                await broker.schedules.pause("hourly")
        for _ in range(2):
            with pytest.raises(NotReplicated):
                await broker.schedules.update(hourly("two"))
        pair.resume(pair.replica)

        async def paused() -> bool:
            with suppress(NotReplicated):
                return (await broker.schedules.pause("hourly")).paused
            return False

        await eventually(paused, "the pause is acknowledged", within_s=60.0)


async def test_replicas_may_be_asked_for_their_disks(pair: Replicas) -> None:
    on_disk = options(ReplicationOptions(sync="disk", timeout_s=30.0))
    async with plain(pair.primary.url) as link:
        try:
            await link.call("WAITAOF", 0, 0, 1)
        except ReplyError:
            with pytest.raises(UnsafeServer, match="PENSTOCK_REPLICA_SYNC=memory"):
                async with Broker(pair.primary.url, on_disk):
                    pass
            return
    async with Broker(pair.primary.url, on_disk) as broker:
        await broker.jobs.submit(new_job("one"))
        # Without a file of its own a replica has nothing to say.
        async with plain(pair.replica.url) as replica:
            await replica.call("CONFIG", "SET", "appendonly", "no")
    with pytest.raises(UnsafeServer, match="appendonly yes on them, too"):
        async with Broker(pair.primary.url, on_disk):
            pass


async def test_the_rights_that_the_guide_grants_are_enough(pair: Replicas) -> None:
    (rules,) = re.findall(r"ACL SETUSER penstock on '>secret' (.*)", GUIDE)
    async with plain(pair.primary.url) as link:
        await link.call("ACL", "SETUSER", "penstock", "on", ">secret", *shlex.split(rules))
        url = pair.primary.url.replace("redis://", "redis://penstock:secret@")
        async with Broker(url, options()) as broker:
            await broker.jobs.submit(new_job("one"))
            await broker.probe(5.0)
        assert await link.call("ACL", "LOG") == []


async def test_where_config_is_denied_replicas_are_asked_all_the_same(pair: Replicas) -> None:
    async with plain(pair.primary.url) as link:
        rules = ("on", ">secret", "~*", "&*", "+@all", "-config")
        await link.call("ACL", "SETUSER", "managed", *rules)
    url = pair.primary.url.replace("redis://", "redis://managed:secret@")
    asserted = replace(options(), asserted_durability=Durability.ALWAYS)
    async with Broker(url, asserted) as broker:
        assert broker.durability is Durability.REPLICATED
        await broker.jobs.submit(new_job("one"))
        await broker.look_again(5.0)
    with pytest.raises(UnsafeServer, match="EVERYSEC"):
        async with Broker(url, replace(asserted, asserted_durability=Durability.EVERYSEC)):
            pass
    # A service that replicates by itself: the operator's word is all there is.
    pair.replica.stop()
    own = BrokerOptions(
        minimum_durability=Durability.REPLICATED, asserted_durability=Durability.REPLICATED
    )
    async with Broker(url, own) as broker:
        assert broker.durability is Durability.REPLICATED
        await broker.jobs.submit(new_job("two"))
