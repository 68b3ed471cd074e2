"""TopicService: what is too much, and what is no sound request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from penstock.broker.topics import MAX_SUBSCRIPTIONS
from penstock.server import topic_intake
from penstock.v1 import job_pb2
from penstock.v1 import topic_service_pb2 as pb
from tests.server.publishing import Content, message, subscribe
from tests.server.rig import refusal_of, seconds

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.server.rig import Rig


async def test_there_are_only_so_many_subscriptions(rig: Rig) -> None:
    key = rig.broker.engine.names.subscriptions()
    fields = [text for n in range(MAX_SUBSCRIPTIONS) for text in (f"s{n}", '1 {"pattern":"a"}')]
    await rig.broker.link.call("HSET", key, *fields)
    wanted = pb.Subscription(name="more", pattern="a")
    call = rig.topics.PutSubscription(pb.PutSubscriptionRequest(subscription=wanted))
    refusal = await refusal_of(call)
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "LIMIT_EXCEEDED"
    assert "RetryInfo" not in refusal.details


async def test_a_flood_is_refused_as_a_whole(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_intake, "MAX_FANOUT_BYTES", 1_000)
    for number in range(10):
        await subscribe(rig, f"s{number}")
    before = await rig.stored()
    refusal = await refusal_of(rig.topics.Publish(message(b'"%s"' % (b"x" * 99))))
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert await rig.stored() == before
    assert len((await rig.topics.Publish(message(b'"%s"' % (b"x" * 98)))).jobs) == 10


async def test_a_message_for_a_thousand_subscriptions_is_stored_whole(rig: Rig) -> None:
    key = rig.broker.engine.names.subscriptions()
    fields = [text for n in range(999) for text in (f"s{n}", '1 {"pattern":"order.*"}')]
    await rig.broker.link.call("HSET", key, *fields)
    await subscribe(rig)
    answer = await rig.topics.Publish(message())
    assert len({each.job.job_id for each in answer.jobs}) == 1_000


MESSAGES: Final[list[tuple[dict[str, Any], str]]] = [
    *[
        ({"topic": topic}, "topic")
        for topic in (
            "", "order.*", "**", "*", "a..b", ".a", "a.", "a b", "a\n", "\0", "ä", "x" * 129,
            ".".join("a" * 17), "*." * 1_000, "a*",
        )
    ],
    ({"message_id": "x" * 129}, "message_id"),
    ({"message_id": "a\nb"}, "message_id"),
    ({"message_id": "ä"}, "message_id"),
    ({"message_id": "\0"}, "message_id"),
    ({"source": "x" * 129}, "source"),
    ({"source": "a\0"}, "source"),
    ({"time": Timestamp(seconds=2**62)}, "time"),
    ({"time": Timestamp(seconds=253_402_300_799)}, "time"),
    ({"priority": 4}, "priority"),
    ({"delay": seconds(-1)}, "delay"),
    ({"delay": seconds(367 * 86_400)}, "delay"),
    ({"max_attempts": -1}, "max_attempts"),
    ({"max_attempts": 101}, "max_attempts"),
    ({"metadata": {"": "x"}}, "metadata"),
    ({"metadata": {"a": "x" * 4_096}}, "metadata"),
    ({"data": b"{"}, "payload.data"),
    ({"data": b'{"a": NaN}'}, "payload.data"),
    ({"data": b"[" * 65 + b"]" * 65}, "payload.data"),
    ({"data": b'"' + b"x" * 1_048_576 + b'"'}, "payload.data"),
    ({"payload": Content(data=b"x", content_type="json")}, "payload.content_type"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "path"),
    [pytest.param(fields, path, id=f"{path}-{n}") for n, (fields, path) in enumerate(MESSAGES)],
)
async def test_a_bad_message_is_refused_and_leaves_nothing(
    rig: Rig, fields: dict[str, Any], path: str
) -> None:
    await subscribe(rig, "all", "**")
    before = await rig.stored()
    refusal = await refusal_of(rig.topics.Publish(message(**fields)))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert path in refusal.violations
    assert await rig.stored() == before


def _put(**fields: Any) -> Callable[[Rig], Awaitable[object]]:  # noqa: ANN401 - of Subscription.
    wanted = pb.Subscription(**{"name": "a", "pattern": "a", **fields})
    request = pb.PutSubscriptionRequest(subscription=wanted)
    return lambda rig: rig.topics.PutSubscription(request)


def _put_rule(**fields: Any) -> Callable[[Rig], Awaitable[object]]:  # noqa: ANN401 - of TopicRule.
    rule = pb.TopicRule(**{"pattern": "a", **fields})
    return lambda rig: rig.topics.PutTopicRule(pb.PutTopicRuleRequest(rule=rule))


PATTERNS: Final = (
    "", "a*", "*a.b", "**.a", "a.**.b", "***", "a..*", ".*", "*.", "a.*b*", "order.{created,paid}",
    "order.>", "order.#", "a b", "\0", "ä", "-a", "*" * 129, ".".join("*" * 17), "[a-z]", "a.?",
)  # fmt: skip
REQUESTS: Final[list[tuple[Callable[[Rig], Awaitable[object]], str]]] = [
    *[(_put(pattern=pattern), "subscription.pattern") for pattern in PATTERNS],
    *[(_put_rule(pattern=pattern), "rule.pattern") for pattern in PATTERNS],
    (_put(name=""), "subscription.name"),
    (_put(name="order.*"), "subscription.name"),
    (_put(name="x" * 129), "subscription.name"),
    (_put(queue="{"), "subscription.queue"),
    (_put(priority=9), "subscription.priority"),
    (_put(max_attempts=101), "subscription.max_attempts"),
    (_put_rule(queue="*"), "rule.queue"),
    (_put_rule(priority=-1), "rule.priority"),
    (_put_rule(max_attempts=-1), "rule.max_attempts"),
    (_put_rule(backoff=job_pb2.Backoff(multiplier=0.5)), "rule.backoff.multiplier"),
    (_put_rule(retention=seconds(0.5)), "rule.retention"),
    (_put_rule(json_schema="{"), "rule.json_schema"),
    (_put_rule(json_schema="[]"), "rule.json_schema"),
    (_put_rule(json_schema="[" * 60_000), "rule.json_schema"),
    (_put_rule(json_schema='{"type": "colour"}'), "rule.json_schema"),
    (_put_rule(json_schema='{"$ref": "https://example.com/x.json"}'), "rule.json_schema"),
    (_put_rule(json_schema='{"$ref": "file:///etc/passwd"}'), "rule.json_schema"),
    (_put_rule(json_schema='{"pattern": "(?=a)b"}'), "rule.json_schema"),
    (_put_rule(json_schema='{"title": "%s"}' % ("x" * 65_536)), "rule.json_schema"),
    (lambda rig: rig.topics.PutSubscription(pb.PutSubscriptionRequest()), "subscription.name"),
    (lambda rig: rig.topics.PutTopicRule(pb.PutTopicRuleRequest()), "rule.pattern"),
    (
        lambda rig: rig.topics.DeleteSubscription(pb.DeleteSubscriptionRequest(name="*")),
        "name",
    ),
    (
        lambda rig: rig.topics.DeleteTopicRule(pb.DeleteTopicRuleRequest(pattern="a*")),
        "pattern",
    ),
    (
        lambda rig: rig.topics.ListSubscriptions(pb.ListSubscriptionsRequest(topic="a.*")),
        "topic",
    ),
    (lambda rig: rig.topics.ListTopicRules(pb.ListTopicRulesRequest(topic="\0")), "topic"),
]


@pytest.mark.parametrize(
    ("call", "path"),
    [pytest.param(call, path, id=f"{path}-{n}") for n, (call, path) in enumerate(REQUESTS)],
)
async def test_a_bad_request_is_refused_and_leaves_nothing(
    rig: Rig, call: Callable[[Rig], Awaitable[object]], path: str
) -> None:
    before = await rig.stored()
    refusal = await refusal_of(call(rig))
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert path in refusal.violations
    assert await rig.stored() == before


async def test_all_violations_are_told_at_once(rig: Rig) -> None:
    bad = message(topic="a*", message_id="\n", source="\n", max_attempts=-1, delay=seconds(-1))
    refusal = await refusal_of(rig.topics.Publish(bad))
    assert set(refusal.violations) == {"topic", "message_id", "source", "max_attempts", "delay"}
