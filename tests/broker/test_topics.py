"""Topics: what is stored of them, who gets which message, and that each gets it once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from penstock.broker import (
    Backoff,
    Broker,
    Content,
    Grant,
    Job,
    JobState,
    LimitExceeded,
    Message,
    MessageReused,
    NewJob,
    NewMessage,
    Priority,
    Published,
    SubmitOutcome,
    Subscription,
    TopicRule,
    topics,
)
from penstock.broker.topic import job_of
from penstock.broker.topics import DROP_TOPIC, PUT_TOPIC, TOPICS
from tests.broker.rig import FAILURE, LEASE_MS, RESULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker.keys import Slot

MAIL: Final = Subscription("mail", "order.*")
STOCK: Final = Subscription("stock", "order.created", queue="goods")


def message(
    topic: str = "order.created",
    message_id: str = "m-1",
    data: bytes = b"{}",
    **options: Any,  # noqa: ANN401 - the fields of NewMessage.
) -> NewMessage:
    return NewMessage(Message(message_id, topic, 1_000, "shop"), Content(data), **options)


async def publish(broker: Broker, sent: NewMessage) -> list[Published]:
    """As a gateway does."""
    route = (await broker.topics.directory()).route(sent.envelope.topic)
    return await broker.topics.publish(
        [job_of(sent, subscription, route.rule) for subscription in route.subscriptions]
    )


async def jobs_of(broker: Broker, queue: str) -> list[Job]:
    jobs, token = await broker.jobs.list(queue)
    assert not token
    return jobs


# What a job is made of.


def test_message_wins_over_subscription_and_that_over_rule() -> None:
    rule = TopicRule("**", "ruled", Priority.LOW, 7, Backoff(initial_ms=5), 9_000)
    plain = job_of(message(), MAIL, None)
    unset = NewJob("", "", "")
    assert plain.queue == "default"
    assert (plain.priority, plain.max_attempts) == (unset.priority, unset.max_attempts)
    ruled = job_of(message(), MAIL, rule)
    assert (ruled.queue, ruled.priority, ruled.max_attempts) == ("ruled", Priority.LOW, 7)
    assert (ruled.backoff, ruled.retention_ms) == (Backoff(initial_ms=5), 9_000)
    chosen = replace(MAIL, queue="own", priority=Priority.DEFAULT, max_attempts=5)
    subscribed = job_of(message(), chosen, rule)
    assert (subscribed.queue, subscribed.priority) == ("own", Priority.DEFAULT)
    assert subscribed.max_attempts == 5
    sent = job_of(message(priority=Priority.HIGH, max_attempts=1, delay_ms=50), chosen, rule)
    assert (sent.priority, sent.max_attempts, sent.delay_ms) == (Priority.HIGH, 1, 50)


# What is stored.


async def test_a_subscription_is_read_back_by_another_process(
    broker: Broker, other: Broker
) -> None:
    wanted = Subscription("mail", "order.*", "letters", Priority.HIGH, 5)
    stored, version = await broker.topics.subscribe(wanted)
    assert stored == replace(wanted, created_ms=stored.created_ms)
    assert stored.created_ms > 0
    directory = await other.topics.directory()
    assert directory.subscriptions == (stored,)
    assert directory.changed_at == version


async def test_a_rule_is_read_back_by_another_process(broker: Broker, other: Broker) -> None:
    wanted = TopicRule("a.**", "q", Priority.LOW, 9, Backoff(0, 10, 1.5, 0.0), 1_000, '{"x": 1}')
    stored = await broker.topics.put_rule(wanted)
    assert replace(stored, created_ms=0) == wanted
    assert (await other.topics.directory()).rules == (stored,)
    assert await other.topics.drop_rule("a.**")
    assert not await other.topics.drop_rule("a.**")
    assert (await broker.topics.directory()).rules == ()


async def test_replacing_keeps_when_it_was_made(broker: Broker) -> None:
    first, _ = await broker.topics.subscribe(MAIL)
    second, _ = await broker.topics.subscribe(replace(MAIL, pattern="*"))
    assert second == replace(first, pattern="*")
    assert (await broker.topics.directory()).subscriptions == (second,)


async def test_storing_the_same_again_changes_nothing(broker: Broker, other: Broker) -> None:
    _, version = await broker.topics.subscribe(MAIL)
    directory = await other.topics.directory()
    assert (await other.topics.subscribe(MAIL))[1] == version
    assert await other.topics.directory() is directory, "what is held is held on to"


async def test_versions_rise_and_are_never_given_again(broker: Broker) -> None:
    """Else a process could hold what a server has lost in a crash for what came after it."""
    _, first = await broker.topics.subscribe(MAIL)
    await broker.link.call("FLUSHALL")
    _, second = await broker.topics.subscribe(STOCK)
    assert second > first
    assert (await broker.topics.directory()).subscriptions[0].name == "stock"


async def test_a_hash_that_the_server_lost_is_noticed(broker: Broker) -> None:
    """By who holds its contents: he must not go on with what a process that starts cannot know."""
    await broker.topics.subscribe(MAIL)
    await broker.topics.unsubscribe("mail")
    await broker.topics.subscribe(STOCK)
    await broker.topics.put_rule(TopicRule("a"))
    names = broker.engine.names
    held = await broker.topics.directory()
    assert held.changed_at > held.ended_at > 0
    await broker.link.call("DEL", names.subscriptions())
    found = await broker.topics.directory()
    assert (found.subscriptions, len(found.rules)) == ((), 1)
    assert (found.changed_at, found.ended_at) == (0, 0)
    await broker.link.call("DEL", names.topics())
    assert (await broker.topics.directory()).rules == ()


async def test_what_is_stored_before_a_reading_is_in_it(broker: Broker, other: Broker) -> None:
    for number in range(20):
        await broker.topics.subscribe(Subscription(f"s{number:02}", "a"))
        names = [each.name for each in (await other.topics.directory()).subscriptions]
        assert names == [f"s{n:02}" for n in range(number + 1)]
        assert await other.topics.unsubscribe("s00")
        assert len((await broker.topics.directory()).subscriptions) == number
        await broker.topics.subscribe(Subscription("s00", "a"))


async def test_readings_under_way_at_once_do_not_hold_an_old_one(
    broker: Broker, other: Broker
) -> None:
    async def read() -> None:
        await other.topics.directory()

    async def write(number: int) -> None:
        await broker.topics.subscribe(Subscription(f"s{number}", "a"))

    await asyncio.gather(*(step for n in range(30) for step in (write(n), read(), read())))
    assert len((await other.topics.directory()).subscriptions) == 30


async def test_fields_of_a_newer_process_are_passed_over(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    key = broker.engine.names.subscriptions()
    await broker.link.call("HSET", key, "mail", '5 {"pattern":"x","colour":"red"}')
    await broker.topics.unsubscribe("none")
    await broker.topics.subscribe(STOCK)
    found = (await broker.topics.directory()).subscriptions
    assert found[0] == Subscription("mail", "x", created_ms=5)


async def test_there_are_only_so_many(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "MAX_SUBSCRIPTIONS", 2)
    monkeypatch.setattr(topics, "MAX_RULES", 1)
    await broker.topics.subscribe(Subscription("ended", "*"))
    assert await broker.topics.unsubscribe("ended")
    await broker.topics.subscribe(MAIL)
    await broker.topics.subscribe(STOCK)
    with pytest.raises(LimitExceeded, match="2 subscriptions"):
        await broker.topics.subscribe(Subscription("third", "*"))
    await broker.topics.subscribe(replace(MAIL, pattern="a.*"))
    await broker.topics.put_rule(TopicRule("a"))
    with pytest.raises(LimitExceeded, match="1 rules"):
        await broker.topics.put_rule(TopicRule("b"))
    assert await broker.topics.unsubscribe("mail")
    await broker.topics.subscribe(Subscription("third", "*"))


# Publishing.


async def test_each_subscription_gets_a_job_of_its_own(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    await broker.topics.subscribe(STOCK)
    await broker.topics.subscribe(Subscription("other", "payment.*"))
    published = await publish(broker, message())
    assert [(each.subscription, each.queue) for each in published] == [
        ("mail", "default"),
        ("stock", "goods"),
    ]
    assert {each.receipt.outcome for each in published} == {SubmitOutcome.CREATED}
    job = await broker.jobs.get(published[0].receipt.job_id, payload=True)
    assert (job.type, job.state, job.payload) == ("mail", JobState.QUEUED, Content(b"{}"))
    assert job.message == Message("m-1", "order.created", 1_000, "shop")


async def test_a_message_that_nobody_wants_is_no_job(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    assert await publish(broker, message("payment.done")) == []


async def test_the_grant_holds_the_envelope_and_other_jobs_have_none(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    await publish(broker, message())
    grant = await claimed(broker, "default")
    assert grant.message == Message("m-1", "order.created", 1_000, "shop")
    await broker.attempts.complete(grant.job_id, grant.fencing_token, RESULT)
    await broker.jobs.submit(NewJob("plain", "default", "r"))
    assert (await claimed(broker, "default")).message is None


async def test_publishing_again_makes_no_second_job(broker: Broker, other: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    first = await publish(broker, message())
    again = await publish(other, message(priority=Priority.LOW))
    assert again[0].receipt.job_id == first[0].receipt.job_id
    assert again[0].receipt.outcome is SubmitOutcome.REPEATED
    assert len(await jobs_of(broker, "default")) == 1


async def test_publishing_again_after_the_job_was_forgotten_makes_none(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    (first,) = await publish(broker, message())
    slot = await slot_of(broker, "default")
    grant = await claimed(broker, "default")
    await broker.attempts.complete(grant.job_id, grant.fencing_token, RESULT)
    tail = first.receipt.job_id[-26:]
    await broker.link.call("DEL", slot.record(tail))
    await broker.link.call("ZREM", slot.ended(JobState.SUCCEEDED), tail)
    (again,) = await publish(broker, message())
    assert again.receipt.outcome is SubmitOutcome.REPEATED
    assert again.receipt.state is None
    assert again.receipt.job_id == first.receipt.job_id
    assert not await jobs_of(broker, "default")


async def test_publishing_again_reaches_those_who_came_in_between(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    await publish(broker, message())
    await broker.topics.subscribe(STOCK)
    published = await publish(broker, message())
    assert [each.receipt.outcome for each in published] == [
        SubmitOutcome.REPEATED,
        SubmitOutcome.CREATED,
    ]


@pytest.mark.parametrize(
    "second", [message(data=b"[]"), message("order.paid")], ids=["payload", "topic"]
)
async def test_a_message_id_stands_for_one_message(broker: Broker, second: NewMessage) -> None:
    await broker.topics.subscribe(MAIL)
    (first,) = await publish(broker, message())
    with pytest.raises(MessageReused) as raised:
        await publish(broker, second)
    assert raised.value.job_id == first.receipt.job_id
    assert raised.value.reason == "MESSAGE_ID_REUSED"


async def test_equal_ids_of_submits_and_messages_do_not_meet(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    plain = NewJob("mail", "default", "m-1", Content(b"{}"), idempotency_key="m-1")
    receipt = await broker.jobs.submit(plain)
    (published,) = await publish(broker, message())
    assert published.receipt.job_id != receipt.job_id
    assert published.receipt.outcome is SubmitOutcome.CREATED


async def test_a_failure_of_one_fails_the_call_and_repeating_it_completes_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.topics.subscribe(MAIL)
    await broker.topics.subscribe(STOCK)
    # The queue of one of them cannot be made.
    monkeypatch.setattr("penstock.broker.engine.MAX_QUEUES", 1)
    with pytest.raises(LimitExceeded):
        await publish(broker, message())
    assert len(await jobs_of(broker, "default")) == 1
    monkeypatch.undo()
    published = await publish(broker, message())
    assert [each.receipt.outcome for each in published] == [
        SubmitOutcome.REPEATED,
        SubmitOutcome.CREATED,
    ]


async def test_many_publishers_of_one_message_make_one_job_each(
    broker: Broker, other: Broker
) -> None:
    for each in (MAIL, STOCK):
        await broker.topics.subscribe(each)
    answers = await asyncio.gather(
        *(publish(process, message()) for _ in range(50) for process in (broker, other))
    )
    for place, queue in enumerate(("default", "goods")):
        outcomes = [answer[place].receipt.outcome for answer in answers]
        assert outcomes.count(SubmitOutcome.CREATED) == 1
        assert len(await jobs_of(broker, queue)) == 1


async def test_a_retry_and_a_redrive_keep_the_envelope(broker: Broker) -> None:
    await broker.topics.subscribe(MAIL)
    await publish(broker, message())
    grant = await claimed(broker, "default")
    await broker.attempts.fail(grant.job_id, grant.fencing_token, "final", FAILURE)
    retried = await broker.jobs.retry(grant.job_id, "again")
    assert (await broker.jobs.get(retried.job_id)).message == grant.message
    assert await broker.queues.redrive("default") == (1, "")
    assert {job.message for job in await jobs_of(broker, "default")} == {grant.message}


def test_every_script_of_topics_is_on_one_key() -> None:
    for script in (TOPICS, PUT_TOPIC, DROP_TOPIC):
        assert "KEYS[2]" not in script.source


async def slot_of(broker: Broker, queue: str) -> Slot:
    (slot,) = broker.engine.slots(await broker.engine.queue(queue))
    return slot


async def claimed(broker: Broker, queue: str) -> Grant:
    grants: Sequence[Grant] = await broker.attempts.claim(
        await slot_of(broker, queue), "worker", 1, LEASE_MS
    )
    (grant,) = grants
    return grant
