"""TopicService: convert, call the broker, convert. No decision is taken here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from penstock.broker.patterns import matches
from penstock.server import topic_convert, topic_requests
from penstock.server.intake import new_request_id
from penstock.v1 import topic_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.broker import Broker
    from penstock.server.calls import Call
    from penstock.server.topic_intake import TopicIntake

__all__ = ["TopicService"]


class TopicService:
    """The methods of penstock.v1.TopicService; see the contract for what each promises."""

    def __init__(self, broker: Broker, intake: TopicIntake, max_payload_bytes: int) -> None:
        self._broker = broker
        self._topics = broker.topics
        self._intake = intake
        self._max_payload_bytes = max_payload_bytes

    # ruff: noqa: N802 - the methods have the names of the contract.

    async def Publish(self, request: pb.PublishRequest, call: Call) -> pb.PublishResponse:
        """Stores a job for each subscription that wants the message."""
        topic_requests.refuse_bad_message(
            request, max_payload=self._max_payload_bytes, now_ms=time.time_ns() // 1_000_000
        )
        message_id = request.message_id or new_request_id()
        message = topic_convert.new_message(request, message_id)
        jobs = await self._intake.accept(message, call.budget_s)
        before = self._broker.durability_so_far
        stored = await self._topics.publish(jobs, call.budget_s)
        durability = min(before, self._broker.durability)
        return topic_convert.published(message_id, stored, durability)

    async def PutSubscription(
        self, request: pb.PutSubscriptionRequest, call: Call
    ) -> pb.PutSubscriptionResponse:
        """Makes or replaces a subscription."""
        topic_requests.refuse_bad_subscription(request.subscription)
        wanted = topic_convert.new_subscription(request.subscription)
        stored, _ = await self._topics.subscribe(wanted, call.budget_s)
        return pb.PutSubscriptionResponse(subscription=topic_convert.subscription(stored))

    async def DeleteSubscription(
        self, request: pb.DeleteSubscriptionRequest, call: Call
    ) -> pb.DeleteSubscriptionResponse:
        """Ends a subscription."""
        topic_requests.refuse_bad_name(request.name)
        deleted = await self._topics.unsubscribe(request.name, call.budget_s)
        return pb.DeleteSubscriptionResponse(deleted=deleted)

    async def ListSubscriptions(
        self, request: pb.ListSubscriptionsRequest, call: Call
    ) -> pb.ListSubscriptionsResponse:
        """All subscriptions, or those that want a topic."""
        topic_requests.refuse_bad_topic(request.topic)
        directory = await self._topics.directory(call.budget_s)
        return pb.ListSubscriptionsResponse(
            subscriptions=[
                topic_convert.subscription(each)
                for each in directory.subscriptions
                if not request.topic or matches(each.pattern, request.topic)
            ]
        )

    async def PutTopicRule(
        self, request: pb.PutTopicRuleRequest, call: Call
    ) -> pb.PutTopicRuleResponse:
        """Makes or replaces a rule."""
        topic_requests.refuse_bad_rule(request.rule)
        stored = await self._topics.put_rule(topic_convert.new_rule(request.rule), call.budget_s)
        return pb.PutTopicRuleResponse(rule=topic_convert.rule(stored))

    async def DeleteTopicRule(
        self, request: pb.DeleteTopicRuleRequest, call: Call
    ) -> pb.DeleteTopicRuleResponse:
        """Ends a rule."""
        topic_requests.refuse_bad_pattern(request.pattern)
        deleted = await self._topics.drop_rule(request.pattern, call.budget_s)
        return pb.DeleteTopicRuleResponse(deleted=deleted)

    async def ListTopicRules(
        self, request: pb.ListTopicRulesRequest, call: Call
    ) -> pb.ListTopicRulesResponse:
        """All rules, or those that match a topic."""
        topic_requests.refuse_bad_topic(request.topic)
        directory = await self._topics.directory(call.budget_s)
        rules = directory.rules_for(request.topic) if request.topic else directory.rules
        return pb.ListTopicRulesResponse(rules=[topic_convert.rule(each) for each in rules])
