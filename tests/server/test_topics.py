"""Topics over gRPC: who gets a message, what keeps it out, and what a repetition does."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.broker import Priority
from penstock.broker.policy import Policy, PolicyKey
from penstock.v1 import job_pb2, job_service_pb2
from penstock.v1 import topic_service_pb2 as pb
from tests.server.publishing import Content, message, put_rule, subscribe
from tests.server.rig import SCHEMA, refusal_of, rig_on, seconds

if TYPE_CHECKING:
    from penstock.runtime.embedded import EmbeddedServer
    from tests.server.rig import Rig


CREATED: Final = job_service_pb2.SUBMIT_OUTCOME_CREATED
REPEATED: Final = job_service_pb2.SUBMIT_OUTCOME_REPEATED


async def test_each_subscription_that_wants_a_message_gets_a_job(rig: Rig) -> None:
    await subscribe(rig, "mail", "order.*")
    await subscribe(rig, "audit", "**", queue="low")
    await subscribe(rig, "pay", "payment.*")
    answer = await rig.topics.Publish(message(source="shop", time=Timestamp(seconds=77)))
    assert answer.message_id == "m-1"
    assert [(each.subscription, each.queue) for each in answer.jobs] == [
        ("audit", "low"),
        ("mail", "default"),
    ]
    for each in answer.jobs:
        assert each.job.outcome == CREATED
        assert each.job.durability == job_pb2.DURABILITY_EVERYSEC
        job = await rig.job(each.job.job_id)
        assert (job.type, job.queue) == (each.subscription, each.queue)
        assert job.payload.data == b'{"order": 17}'
        assert job.message == job_pb2.MessageEnvelope(
            message_id="m-1", topic="order.created", time=Timestamp(seconds=77), source="shop"
        )


async def test_a_plain_job_has_no_envelope(rig: Rig) -> None:
    assert not (await rig.job((await rig.submit()).job_id)).HasField("message")


async def test_a_message_that_nobody_wants_is_kept_nowhere(rig: Rig) -> None:
    before = await rig.stored()
    answer = await rig.topics.Publish(message())
    assert not answer.jobs
    assert await rig.stored() == before


async def test_without_an_id_each_message_is_another(rig: Rig) -> None:
    await subscribe(rig)
    answers = [await rig.topics.Publish(message(message_id="")) for _ in range(2)]
    assert len({answer.message_id for answer in answers}) == 2
    assert {answer.jobs[0].job.outcome for answer in answers} == {CREATED}


async def test_the_time_is_that_of_the_gateway_unless_it_is_given(rig: Rig) -> None:
    await subscribe(rig)
    answer = await rig.topics.Publish(message())
    job = await rig.job(answer.jobs[0].job.job_id)
    assert abs(job.message.time.ToDatetime() - job.create_time.ToDatetime()).total_seconds() < 60


async def test_options_of_message_subscription_and_rule_win_in_that_order(rig: Rig) -> None:
    await put_rule(
        rig,
        "order.*",
        queue="ruled",
        priority=job_pb2.PRIORITY_LOW,
        max_attempts=9,
        backoff=job_pb2.Backoff(initial=seconds(1), multiplier=3),
        retention=seconds(60),
    )
    await put_rule(rig, "**", queue="never", max_attempts=1)
    await subscribe(rig, "a")
    await subscribe(rig, "b", queue="own", priority=job_pb2.PRIORITY_HIGH, max_attempts=5)

    async def jobs(**fields: Any) -> list[job_pb2.Job]:  # noqa: ANN401 - of PublishRequest.
        answer = await rig.topics.Publish(message(message_id="", **fields))
        return [await rig.job(each.job.job_id) for each in answer.jobs]

    a, b = await jobs()
    assert (a.queue, a.priority, a.max_attempts) == ("ruled", job_pb2.PRIORITY_LOW, 9)
    assert (b.queue, b.priority, b.max_attempts) == ("own", job_pb2.PRIORITY_HIGH, 5)
    assert a.retention == b.retention == seconds(60)
    own = {"priority": job_pb2.PRIORITY_DEFAULT, "max_attempts": 2, "delay": seconds(50)}
    for job in await jobs(**own, metadata={"k": "v"}):
        assert (job.priority, job.max_attempts) == (job_pb2.PRIORITY_DEFAULT, 2)
        assert job.state == job_pb2.JOB_STATE_SCHEDULED
        assert dict(job.metadata) == {"k": "v"}


async def test_what_nobody_says_is_left_to_the_queue_s_policy(rig: Rig) -> None:
    policies = rig.gateway._storage.broker.policies
    await policies.put(PolicyKey("high"), Policy(max_attempts=7, priority=Priority.LOW))
    await subscribe(rig, "a", queue="high")
    await subscribe(rig, "b", queue="high", max_attempts=4)
    answer = await rig.topics.Publish(message())
    jobs = [await rig.job(each.job.job_id) for each in answer.jobs]
    assert [job.max_attempts for job in jobs] == [7, 4]
    assert {job.priority for job in jobs} == {job_pb2.PRIORITY_LOW}


async def test_repeating_a_publish_is_safe_at_any_gateway(rig: Rig, redis_url: str) -> None:
    await subscribe(rig)
    first = await rig.topics.Publish(message())
    async with rig_on(redis_url) as other:
        again = await other.topics.Publish(message())
    assert again.jobs[0].job.job_id == first.jobs[0].job.job_id
    assert again.jobs[0].job.outcome == REPEATED


async def test_a_publish_after_an_acknowledged_subscription_reaches_it(
    rig: Rig, redis_url: str
) -> None:
    async with rig_on(redis_url) as other:
        for number in range(20):
            name = f"s{number:02}"
            await subscribe(rig, name)
            answer = await other.topics.Publish(message(message_id=""))
            assert answer.jobs[-1].subscription == name
            await other.topics.DeleteSubscription(pb.DeleteSubscriptionRequest(name=name))
            assert not (await rig.topics.Publish(message(message_id=""))).jobs


@pytest.mark.parametrize(
    "second", [message(b"{}"), message(topic="order.paid")], ids=["payload", "topic"]
)
async def test_an_id_of_another_message_is_refused(rig: Rig, second: pb.PublishRequest) -> None:
    await subscribe(rig)
    answer = await rig.topics.Publish(message())
    refusal = await refusal_of(rig.topics.Publish(second))
    assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
    assert refusal.reason == "MESSAGE_ID_REUSED"
    assert refusal.facts == {"job_id": answer.jobs[0].job.job_id}
    assert "message_id" in refusal.message


# Schemas.


async def test_a_payload_is_judged_by_every_type_that_wants_it(rig: Rig) -> None:
    wide = {"type": "object", "required": ["width", "height"]}
    await rig.register(SCHEMA, "mail")
    await rig.register(wide, "stock")
    for name in ("mail", "stock", "untyped"):
        await subscribe(rig, name)
    before = await rig.stored()
    refusal = await refusal_of(rig.topics.Publish(message(b'{"width": 0}')))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    told = refusal.violations
    assert told["payload.data/width"].startswith("subscription mail: ")
    assert told["payload.data"].startswith("subscription stock: ")
    assert await rig.stored() == before
    answer = await rig.topics.Publish(message(b'{"width": 0}', topic="payment.done"))
    assert not answer.jobs


async def test_whoever_subscribes_is_judged_for_at_once(rig: Rig) -> None:
    """A worker publishes its schema first, and the gateway looks, however lately it looked."""
    await subscribe(rig, "early")
    await rig.topics.Publish(message(message_id=""))
    for number in range(10):
        await rig.register(SCHEMA, f"t{number}")
        await subscribe(rig, f"t{number}")
        refusal = await refusal_of(rig.topics.Publish(message(b'{"width": -1}', message_id="")))
        assert refusal.violations["payload.data/width"].startswith("subscription t")
        await rig.topics.DeleteSubscription(pb.DeleteSubscriptionRequest(name=f"t{number}"))


async def test_the_rule_of_a_topic_judges_for_all(rig: Rig) -> None:
    await put_rule(rig, "order.*", json_schema=json.dumps(SCHEMA))
    refusal = await refusal_of(rig.topics.Publish(message(b'{"width": "x"}')))
    assert refusal.violations["payload.data/width"].startswith("the rule of order.*: ")
    opaque = Content(data=b"x", content_type="image/png")
    refusal = await refusal_of(rig.topics.Publish(message(payload=opaque)))
    assert "JSON alone" in refusal.violations["payload.content_type"]
    await rig.topics.Publish(message(b'{"width": 1}'))
    await rig.topics.Publish(message(b'{"width": "x"}', topic="payment.done"))


async def test_bytes_that_are_no_json_are_not_looked_into(rig: Rig) -> None:
    await rig.register(SCHEMA, "mail")
    await subscribe(rig)
    opaque = Content(data=b"\xff", content_type="image/png")
    (each,) = (await rig.topics.Publish(message(payload=opaque))).jobs
    assert (await rig.job(each.job.job_id)).payload == opaque


async def test_a_schema_that_cannot_be_used_blocks_its_own_subscription_s_topics(rig: Rig) -> None:
    await rig.register({"pattern": "(?=a)"}, "mail")
    await subscribe(rig)
    refusal = await refusal_of(rig.topics.Publish(message()))
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "SCHEMA_UNUSABLE"


# Lists.


async def test_subscriptions_and_rules_are_listed(rig: Rig) -> None:
    for name, pattern in (("b", "order.*"), ("a", "**"), ("c", "payment.*")):
        await subscribe(rig, name, pattern)
        await put_rule(rig, pattern, queue=name)

    async def names(topic: str = "") -> list[str]:
        request = pb.ListSubscriptionsRequest(topic=topic)
        answer = await rig.topics.ListSubscriptions(request)
        assert all(each.HasField("create_time") for each in answer.subscriptions)
        return [each.name for each in answer.subscriptions]

    async def rules(topic: str = "") -> list[str]:
        answer = await rig.topics.ListTopicRules(pb.ListTopicRulesRequest(topic=topic))
        return [each.pattern for each in answer.rules]

    assert await names() == ["a", "b", "c"]
    assert await names("order.created") == ["a", "b"]
    assert await rules() == ["**", "order.*", "payment.*"]
    assert await rules("payment.done") == ["payment.*", "**"]
    for deleted in (True, False):
        request = pb.DeleteTopicRuleRequest(pattern="**")
        assert (await rig.topics.DeleteTopicRule(request)).deleted is deleted
        drop = pb.DeleteSubscriptionRequest(name="a")
        assert (await rig.topics.DeleteSubscription(drop)).deleted is deleted
    assert await rules("payment.done") == ["payment.*"]


async def test_a_rule_is_answered_as_it_is_stored(rig: Rig) -> None:
    rule = pb.TopicRule(
        pattern="a.*",
        queue="q",
        priority=job_pb2.PRIORITY_HIGH,
        max_attempts=4,
        backoff=job_pb2.Backoff(initial=seconds(2), max=seconds(9), multiplier=1.5, jitter=0.0),
        retention=seconds(90),
        json_schema='{"type": "object"}',
    )
    stored = (await rig.topics.PutTopicRule(pb.PutTopicRuleRequest(rule=rule))).rule
    assert stored.HasField("create_time")
    listed = (await rig.topics.ListTopicRules(pb.ListTopicRulesRequest())).rules
    assert list(listed) == [stored]
    stored.ClearField("create_time")
    assert stored == rule


# Faults.


async def test_a_full_server_takes_no_message(rig: Rig) -> None:
    await subscribe(rig)
    rig.admission.storage_full = True
    refusal = await refusal_of(rig.topics.Publish(message()))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "STORAGE_FULL"


async def test_a_failure_of_one_job_fails_the_call_and_a_repetition_completes_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscribe(rig, "a", queue="default")
    await subscribe(rig, "b", queue="other")
    await rig.submit()
    monkeypatch.setattr("penstock.broker.engine.MAX_QUEUES", 1)
    refusal = await refusal_of(rig.topics.Publish(message()))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    monkeypatch.undo()
    answer = await rig.topics.Publish(message())
    assert [each.job.outcome for each in answer.jobs] == [REPEATED, CREATED]


async def test_without_its_storage_a_gateway_says_so_and_recovers(
    rig: Rig, redis_server: EmbeddedServer
) -> None:
    await rig.topics.Publish(message())
    redis_server.kill()
    for call in (
        rig.topics.Publish(message(), timeout=10),
        rig.topics.ListSubscriptions(pb.ListSubscriptionsRequest(), timeout=10),
    ):
        refusal = await refusal_of(call)
        assert refusal.code is grpc.StatusCode.UNAVAILABLE
        assert refusal.reason == "STORAGE_UNAVAILABLE"
        assert "RetryInfo" in refusal.details
    redis_server.start()
    await subscribe(rig)
    answer = await rig.topics.Publish(message(), timeout=10)
    assert [each.subscription for each in answer.jobs] == ["mail"]


async def test_many_gateways_publish_one_message_once(rig: Rig, redis_url: str) -> None:
    for name in ("a", "b", "c"):
        await subscribe(rig, name)
    async with rig_on(redis_url) as second, rig_on(redis_url) as third:
        answers = await asyncio.gather(
            *(each.topics.Publish(message()) for _ in range(20) for each in (rig, second, third))
        )
    for place in range(3):
        jobs = [answer.jobs[place].job for answer in answers]
        assert len({job.job_id for job in jobs}) == 1
        assert [job.outcome for job in jobs].count(CREATED) == 1
