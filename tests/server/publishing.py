"""What the tests of topics have in common: subscriptions, rules and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.v1 import job_pb2
from penstock.v1 import topic_service_pb2 as pb

if TYPE_CHECKING:
    from tests.server.rig import Rig

Content = job_pb2.Content


async def subscribe(rig: Rig, name: str = "mail", pattern: str = "order.*", **fields: Any) -> None:  # noqa: ANN401 - of Subscription.
    wanted = pb.Subscription(name=name, pattern=pattern, **fields)
    await rig.topics.PutSubscription(pb.PutSubscriptionRequest(subscription=wanted))


async def put_rule(rig: Rig, pattern: str, **fields: Any) -> None:  # noqa: ANN401 - of TopicRule.
    rule = pb.TopicRule(pattern=pattern, **fields)
    await rig.topics.PutTopicRule(pb.PutTopicRuleRequest(rule=rule))


def message(data: bytes = b'{"order": 17}', **fields: Any) -> pb.PublishRequest:  # noqa: ANN401 - of PublishRequest.
    return pb.PublishRequest(
        **{"topic": "order.created", "payload": Content(data=data), "message_id": "m-1", **fields}
    )
