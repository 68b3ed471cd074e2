"""What those who publish messages, and those who subscribe to topics, ask of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.client.errors import DeadlineExceeded, Unavailable
from penstock.client.topic_wire import (
    published_of,
    request_of,
    rule_of,
    rule_to_wire,
    subscription_of,
    subscription_to_wire,
)
from penstock.v1 import topic_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from penstock.client.job import Priority
    from penstock.client.new_job import Backoff
    from penstock.client.rpc import Rpc
    from penstock.client.spans import Span
    from penstock.client.topic import Published, Subscription, TopicRule


class AsyncTopicCalls:
    """The part of `AsyncClient` that is about topics.

    Every method raises StatusError. ``rpc_timeout`` is the time for all tries of a call together,
    in seconds; None is the client's own. A pattern is a topic in which ``*`` stands for any one
    segment, and ``**``, as the last one, for any one or more.
    """

    _rpc: Rpc

    async def publish(
        self,
        topic: str,
        payload: object = None,
        *,
        message_id: str = "",
        priority: Priority | str | None = None,
        delay: Span | None = None,
        attempts: int | None = None,
        source: str = "",
        time: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        content_type: str | None = None,
        rpc_timeout: float | None = None,
    ) -> Published:
        """Publishes a message once: every subscription that wants it gets a job of its own.

        It returns once all the jobs are stored. Repeated under the same ``message_id``, it
        completes what a failure left undone, and nobody gets the message twice.

        Args:
            topic: such as order.created.
            payload: anything that pydantic writes as JSON, or bytes.
            message_id: names the message, over all topics; '' draws a random one.
            priority: of the jobs; None leaves it to subscription and rule.
            delay: until the jobs may run.
            attempts: failed attempts after which a job is a dead letter, 1 to 100; None leaves it
                to subscription and rule.
            source: who publishes it; up to 128 characters.
            time: of what the message tells; None is now.
            metadata: travels with each job.
            content_type: of a payload of bytes; None is application/octet-stream.
            rpc_timeout: for all tries together, in seconds; None is the client's own.

        Raises:
            InvalidRequest: a field breaks a rule, or the payload a schema: that of the topic's
                rule, or of a subscription's type.
            AlreadyExists: the message id stands for another topic or payload.
            ResourceExhausted: it is too much for so many subscriptions.
            Unavailable: no gateway, or none that can store it now.
            DeadlineExceeded: no answer in time; a publish under the same message id settles it.
        """
        request = request_of(
            topic,
            payload,
            message_id=message_id,
            priority=priority,
            delay=delay,
            attempts=attempts,
            source=source,
            time=time,
            metadata=metadata,
            content_type=content_type,
        )
        try:
            answer = await self._rpc.call(self._rpc.stubs.topics.Publish, request, rpc_timeout)
        except (DeadlineExceeded, Unavailable) as error:
            error.add_note(
                "whether every subscription has its job is not known; a publish of the same with "
                f"message_id={request.message_id!r} settles it"
            )
            raise
        return published_of(topic, answer)

    async def subscribe(
        self,
        name: str,
        pattern: str,
        *,
        queue: str = "",
        priority: Priority | str | None = None,
        attempts: int | None = None,
        rpc_timeout: float | None = None,
    ) -> Subscription:
        """Makes a subscription, or replaces the one of that name; it collects jobs from then on.

        Args:
            name: of the subscription, and the type of its jobs.
            pattern: of the topics that it wants.
            queue: of its jobs; '' leaves it to the topic's rule.
            priority: of its jobs; None leaves it to the rule.
            attempts: of each job, 1 to 100; None leaves it to the rule.
            rpc_timeout: for all tries together, in seconds.
        """
        wanted = subscription_to_wire(name, pattern, queue, priority, attempts)
        request = pb.PutSubscriptionRequest(subscription=wanted)
        method = self._rpc.stubs.topics.PutSubscription
        return subscription_of((await self._rpc.call(method, request, rpc_timeout)).subscription)

    async def unsubscribe(self, name: str, *, rpc_timeout: float | None = None) -> bool:
        """Ends a subscription: whether there was one. Its jobs stay.

        A worker whose code has the subscription makes it again when it starts.
        """
        request = pb.DeleteSubscriptionRequest(name=name)
        method = self._rpc.stubs.topics.DeleteSubscription
        return (await self._rpc.call(method, request, rpc_timeout)).deleted

    async def subscriptions(
        self, topic: str = "", *, rpc_timeout: float | None = None
    ) -> tuple[Subscription, ...]:
        """All subscriptions, by name; those that want a topic, if it is given."""
        request = pb.ListSubscriptionsRequest(topic=topic)
        method = self._rpc.stubs.topics.ListSubscriptions
        answer = await self._rpc.call(method, request, rpc_timeout)
        return tuple(map(subscription_of, answer.subscriptions))

    async def put_topic_rule(
        self,
        pattern: str,
        *,
        queue: str = "",
        priority: Priority | str | None = None,
        attempts: int | None = None,
        backoff: Backoff | None = None,
        retention: Span | None = None,
        schema: Any = None,  # noqa: ANN401 - any type that pydantic takes.
        rpc_timeout: float | None = None,
    ) -> TopicRule:
        """Makes a rule for the messages of some topics, or replaces the one of that pattern.

        Args:
            pattern: of the topics. Of several rules that match, the most specific one holds.
            queue: of jobs whose subscription names none; '' is ``default``.
            priority: where neither message nor subscription says.
            attempts: where neither message nor subscription says, 1 to 100.
            backoff: between failed attempts.
            retention: of the jobs after their end, 1 s to 366 days.
            schema: of the messages: a JSON schema as a dict, or a type that pydantic describes,
                such as a model; None takes anything.
            rpc_timeout: for all tries together, in seconds.

        Raises:
            InvalidRequest: a field breaks a rule, or the schema cannot be used.
        """
        rule = rule_to_wire(
            pattern,
            queue=queue,
            priority=priority,
            attempts=attempts,
            backoff=backoff,
            retention=retention,
            schema=schema,
        )
        method = self._rpc.stubs.topics.PutTopicRule
        request = pb.PutTopicRuleRequest(rule=rule)
        return rule_of((await self._rpc.call(method, request, rpc_timeout)).rule)

    async def delete_topic_rule(self, pattern: str, *, rpc_timeout: float | None = None) -> bool:
        """Ends a rule: whether there was one."""
        request = pb.DeleteTopicRuleRequest(pattern=pattern)
        method = self._rpc.stubs.topics.DeleteTopicRule
        return (await self._rpc.call(method, request, rpc_timeout)).deleted

    async def topic_rules(
        self, topic: str = "", *, rpc_timeout: float | None = None
    ) -> tuple[TopicRule, ...]:
        """All rules, by pattern; those that match a topic, the one that holds first."""
        request = pb.ListTopicRulesRequest(topic=topic)
        method = self._rpc.stubs.topics.ListTopicRules
        return tuple(map(rule_of, (await self._rpc.call(method, request, rpc_timeout)).rules))
