"""Who publishes messages, and who gets them: told from what was asked for, and the answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import (
    Content,
    Message,
    MessageReused,
    NewMessage,
    Priority,
    Subscription,
)
from penstock.broker.patterns import matches
from penstock.broker.topic import job_of
from tests.simulation.callers import Client

if TYPE_CHECKING:
    from penstock.broker import Broker, Published
    from tests.simulation.life import Life

__all__ = ["Publisher"]

#: Each is a type of job that the workers of a life run.
NAMES: Final = ("note", "toil", "work")
PATTERNS: Final = ("a.b", "a.*", "a.**", "c.**")
TOPICS: Final = ("a.b", "a.x", "c.x")
WAYS: Final = ("new",) * 4 + ("again", "again", "reused", "subscribe", "unsubscribe")
_NOBODY: Final = ""


class Publisher(Client):
    """The one in a life who subscribes and publishes."""

    def __init__(self, life: Life) -> None:
        # By a chance of its own: lives without topics are what they were.
        super().__init__(life, random.Random(f"{life.seed} topics"))  # noqa: S311 - no secret.
        #: What each subscription may be by now: its pattern, or _NOBODY.
        self._patterns: dict[str, set[str]] = {name: {_NOBODY} for name in NAMES}
        self._doubtful: set[str] = set()
        self._messages: list[NewMessage] = []
        self._texts: defaultdict[str, set[bytes]] = defaultdict(set)
        self._told: defaultdict[str, dict[str, str]] = defaultdict(dict)

    async def run(self) -> None:
        """Calls again and again, and then no more."""
        chance = self._chance
        for name in NAMES:
            await self._subscribe(name)
        for _ in range(3 if self._life.calm else chance.randint(5, 10)):
            await asyncio.sleep(chance.choice([0.0, 0.1, 1.0, 3.0]))
            match "new" if self._life.calm else chance.choice(WAYS):
                case "new":
                    await self._publish(self._new())
                case "again" if self._messages:
                    await self._publish(chance.choice(self._messages))
                case "reused" if self._messages:
                    await self._reuse(chance.choice(self._messages))
                case "subscribe":
                    await self._subscribe(chance.choice(NAMES))
                case "unsubscribe":
                    await self._unsubscribe(chance.choice(NAMES))
                case _:
                    pass

    def check(self) -> None:
        """What is stored was published, and is one job for each who wanted it."""
        witness = self._life.witness
        found: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for tail, seen in witness.jobs.items():
            record = seen.record
            if "tm" not in record or "rf" in record:
                continue
            message_id = json.loads(record["tm"])[0]
            found[message_id, record["t"].decode()].add(tail)
            witness.expect(
                record.get("p") in self._texts[message_id],
                "I2",
                f"{tail}: nobody published {record.get('p')!r} as {message_id!r}",
            )
        for whose, tails in found.items():
            witness.expect(len(tails) == 1, "I3", f"{whose} is {sorted(tails)}")
        for message_id, told in self._told.items():
            for name, tail in told.items():
                there = tail in witness.jobs or tail in witness.gone
                witness.expect(there, "I1", f"{tail}: {message_id} for {name} is lost")

    # Inside.

    def _new(self) -> NewMessage:
        chance, number = self._chance, len(self._messages)
        topic = chance.choice(TOPICS)
        message = NewMessage(
            Message(f"message {number}", topic, self._life.clock.server_ms),
            Content(b'{"number": %d}' % number),
            None if self._life.calm else chance.choice([None, *Priority]),
            None if self._life.calm else chance.choice([None, None, 500]),
        )
        self._messages.append(message)
        return message

    async def _publish(self, message: NewMessage) -> None:
        topic, message_id = message.envelope.topic, message.envelope.message_id
        self._texts[message_id].add(message.payload.data)
        witness = self._life.witness
        told: list[Published] | None = None
        try:
            told = await self._ask(lambda broker: _publish(broker, message))
        except MessageReused:
            # Whoever subscribed in between has been told something else under this id.
            others = [
                seen.record
                for seen in witness.jobs.values()
                if message_id in str(seen.record.get("tm"))
                and seen.record.get("p") != message.payload.data
            ]
            told_else = others or witness.gone
            witness.expect(told_else, "I3", f"{message_id} is refused, and nobody told else")
        if told is None:
            return
        names = {each.subscription for each in told}
        for name, patterns in self._patterns.items():
            wants = {matches(each, topic) for each in patterns}
            witness.expect(
                name in names if wants == {True} else name not in names or True in wants,
                "topic",
                f"{message_id} in {topic} was told to {sorted(names)}; {name} is {patterns}",
            )
        for each in told:
            tail = each.receipt.job_id[-26:]
            there = tail in witness.jobs or tail in witness.gone
            witness.expect(there, "I1", f"{tail}: acknowledged for {each.subscription}, and lost")
            first = self._told[message_id].setdefault(each.subscription, tail)
            witness.expect(
                first == tail,
                "I3",
                f"{message_id} for {each.subscription} is {first}, and {tail}",
            )

    async def _reuse(self, message: NewMessage) -> None:
        """Publishes something else under its id: whoever had the message is not told that."""
        witness, envelope = self._life.witness, message.envelope
        had = self._told[envelope.message_id]
        met = [
            name
            for name in had
            if {matches(each, envelope.topic) for each in self._patterns[name]} == {True}
        ]
        other = NewMessage(envelope, Content(b'{"other": true}'))
        self._texts[envelope.message_id].add(other.payload.data)
        try:
            told = await self._ask(lambda broker: _publish(broker, other))
        except MessageReused:
            return
        witness.expect(
            told is None or not met or witness.gone,
            "I3",
            f"{envelope.message_id} was told to {met}, and taken again as something else",
        )

    async def _subscribe(self, name: str) -> None:
        pattern = self._chance.choice(PATTERNS)
        wanted = Subscription(name, pattern, "q")
        self._patterns[name].add(pattern)
        told = await self._ask(lambda broker: broker.topics.subscribe(wanted))
        self._settle(name, pattern, answered=told is not None)

    async def _unsubscribe(self, name: str) -> None:
        self._patterns[name].add(_NOBODY)
        told = await self._ask(lambda broker: broker.topics.unsubscribe(name))
        self._settle(name, _NOBODY, answered=told is not None)

    def _settle(self, name: str, pattern: str, *, answered: bool) -> None:
        """What was asked for holds; a try without an answer may come to pass at any later time.

        So may one that a gateway has repeated by itself, where the first is still on its way.
        """
        if not answered or self._tries > 1 or self._given_up != self._life.network.given_up:
            self._doubtful.add(name)
        if name not in self._doubtful:
            self._patterns[name] = {pattern}


async def _publish(broker: Broker, message: NewMessage) -> Any:  # noqa: ANN401 - a list, in a lambda.
    """As a gateway does, but for schemas."""
    directory = await broker.topics.directory()
    route = directory.route(message.envelope.topic)
    jobs = [job_of(message, each, route.rule) for each in route.subscriptions]
    return await broker.topics.publish(jobs)
