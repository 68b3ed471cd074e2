"""The data of topics: messages, subscriptions and rules, and who gets which message as what job.

Nothing here talks to Redis.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from penstock.broker.job import Backoff, Priority
from penstock.broker.new_job import NewJob
from penstock.broker.patterns import matches, specificity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.broker.job import Content, Message

DEFAULT_QUEUE: Final = "default"
#: Routes that a directory remembers; a program that makes up topics must not fill the memory.
MAX_ROUTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A validated message to publish. What is None is left to subscription and rule.

    Attributes:
        envelope: of the message.
        payload: for every handler.
        priority: of its jobs.
        delay_ms: until its jobs may run.
        max_attempts: of each of its jobs.
        metadata: of each of its jobs.
    """

    envelope: Message
    payload: Content
    priority: Priority | None = None
    delay_ms: int | None = None
    max_attempts: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Subscription:
    """Wants the messages of some topics, as jobs of the type that it is named by.

    Attributes:
        name: of the subscription, and the type of its jobs.
        pattern: of the topics that it wants.
        queue: of its jobs; '' leaves it to the topic's rule.
        priority: of its jobs; None leaves it to the rule.
        max_attempts: of its jobs; None leaves it to the rule.
        created_ms: when it was made, by the server's clock; 0 before it is stored.
    """

    name: str
    pattern: str
    queue: str = ""
    priority: Priority | None = None
    max_attempts: int | None = None
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class TopicRule:
    """What holds for the messages of some topics, whoever wants them.

    Attributes:
        pattern: of the topics, and its name.
        queue: of jobs whose subscription names none; '' is the default queue.
        priority: where neither message nor subscription says; None is the default.
        max_attempts: where neither message nor subscription says; None is the default.
        backoff: between failed attempts; None is the default.
        retention_ms: of the jobs after their end; None is the default.
        schema: JSON schema of the messages, as text; '' takes anything.
        created_ms: when it was made, by the server's clock; 0 before it is stored.
    """

    pattern: str
    queue: str = ""
    priority: Priority | None = None
    max_attempts: int | None = None
    backoff: Backoff | None = None
    retention_ms: int | None = None
    schema: str = ""
    created_ms: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """Where the messages of one topic go.

    Attributes:
        rule: the most specific one that matches; None if none does.
        subscriptions: all that want them, by name.
    """

    rule: TopicRule | None
    subscriptions: tuple[Subscription, ...]


class Directory:
    """All subscriptions and rules as they stood at one version, and the routes they make.

    Attributes:
        version: of what is stored; b"" before anything was read.
        changed_at: the version of the subscriptions alone; 0 if there are none, ended or not.
        ended_at: the version at which a subscription was last ended; 0 if none was.
        subscriptions: by name.
        rules: by pattern.
    """

    def __init__(
        self,
        version: bytes = b"",
        subscriptions: Iterable[Subscription] = (),
        rules: Iterable[TopicRule] = (),
        *,
        changed_at: int = 0,
        ended_at: int = 0,
    ) -> None:
        self.version = version
        self.changed_at = changed_at
        self.ended_at = ended_at
        self.subscriptions = tuple(sorted(subscriptions, key=lambda each: each.name))
        self.rules = tuple(sorted(rules, key=lambda rule: rule.pattern))
        self._routes: dict[str, Route] = {}

    def lacks(self, names: Iterable[str], since: int) -> bool:
        """Whether one of the subscriptions that were stored at a version is lost, and not ended.

        If any subscription was ended on purpose since, none is taken for lost.
        """
        known = {each.name for each in self.subscriptions}
        return self.changed_at < since or (self.ended_at <= since and not known.issuperset(names))

    def route(self, topic: str) -> Route:
        """Where the messages of a topic go."""
        route = self._routes.get(topic)
        if route is None:
            if len(self._routes) >= MAX_ROUTES:
                self._routes.clear()
            rules = self.rules_for(topic)
            route = Route(
                rules[0] if rules else None,
                tuple(each for each in self.subscriptions if matches(each.pattern, topic)),
            )
            self._routes[topic] = route
        return route

    def rules_for(self, topic: str) -> list[TopicRule]:
        """All rules that match a topic, the one that holds first."""
        found = [rule for rule in self.rules if matches(rule.pattern, topic)]
        return sorted(found, key=lambda rule: specificity(rule.pattern))


def job_of(message: NewMessage, subscription: Subscription, rule: TopicRule | None) -> NewJob:
    """The job that a subscription gets for a message.

    Its request id is made of message and subscription, so that publishing again makes no second
    job; its idempotency key says the same, for longer than a job of short retention is kept. Both
    are of a space of their own, which no caller's ids and keys reach.
    """
    rule = rule or TopicRule("")
    envelope = message.envelope
    name = f"\0message {envelope.message_id}\0{subscription.name}"
    chosen = {
        "priority": message.priority or subscription.priority or rule.priority,
        "max_attempts": message.max_attempts or subscription.max_attempts or rule.max_attempts,
        "backoff": rule.backoff,
        "retention_ms": rule.retention_ms,
    }
    given: dict[str, Any] = {key: value for key, value in chosen.items() if value is not None}
    return NewJob(
        type=subscription.name,
        queue=subscription.queue or rule.queue or DEFAULT_QUEUE,
        request_id=name,
        idempotency_key=name,
        payload=message.payload,
        delay_ms=message.delay_ms,
        metadata=message.metadata,
        message=envelope,
        **given,
    )


# What is stored: JSON without what is not set, and apart from it when it was made, which only the
# server knows.


def encode_subscription(subscription: Subscription) -> str:
    """As it is stored under its name."""
    return _packed(replace(subscription, name="", created_ms=0))


def decode_subscription(name: str, stored: bytes) -> Subscription:
    """A stored one."""
    return Subscription(**{**_unpacked(Subscription, stored), "name": name})


def encode_rule(rule: TopicRule) -> str:
    """As it is stored under its pattern."""
    return _packed(replace(rule, pattern="", created_ms=0))


def decode_rule(pattern: str, stored: bytes) -> TopicRule:
    """A stored one."""
    return TopicRule(**{**_unpacked(TopicRule, stored), "pattern": pattern})


def _packed(entry: Subscription | TopicRule) -> str:
    given = {name: value for name, value in asdict(entry).items() if value}
    return json.dumps(given, sort_keys=True, separators=(",", ":"))


def _unpacked(kind: type[Subscription | TopicRule], stored: bytes) -> dict[str, Any]:
    created_ms, _, text = stored.partition(b" ")
    # What a newer process may have stored besides is nothing to this one.
    known = {each.name for each in fields(kind)}
    given = {name: value for name, value in json.loads(text).items() if name in known}
    if "priority" in given:
        given["priority"] = Priority(given["priority"])
    if "backoff" in given:
        given["backoff"] = Backoff(**given["backoff"])
    return {**given, "created_ms": int(created_ms)}
