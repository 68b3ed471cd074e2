"""Subscriptions and rules as a namespace stores them, and publishing: a job per subscription."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.errors import AlreadyExists, LimitExceeded, MessageReused, PenstockError
from penstock.broker.new_job import NewJob, SubmitOutcome, Submitted
from penstock.broker.record import fields_of
from penstock.broker.script import load_script
from penstock.broker.topic import (
    Directory,
    Subscription,
    TopicRule,
    decode_rule,
    decode_subscription,
    encode_rule,
    encode_subscription,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker.jobs import Jobs

TOPICS = load_script("topics")
PUT_TOPIC = load_script("put_topic")
DROP_TOPIC = load_script("drop_topic")

MAX_SUBSCRIPTIONS: Final = 1_000
MAX_RULES: Final = 1_000

_SUBSCRIPTIONS: Final = "subscriptions"
_RULES: Final = "topics"
#: Fields of their hashes that no name or pattern can have: see lib/topics.lua.
_VERSION: Final = "#"
_ENDED: Final = "#ended"


@dataclass(frozen=True, slots=True)
class Published:
    """A subscription's job for a message.

    Attributes:
        subscription: by name.
        queue: of the job.
        receipt: CREATED, or REPEATED where the subscription had the message already.
    """

    subscription: str
    queue: str
    receipt: Submitted


class Topics:
    """What may be asked of topics. Every method retries by itself within budget_s (seconds)."""

    def __init__(self, engine: Engine, jobs: Jobs) -> None:
        self._engine = engine
        self._jobs = jobs
        self._held = Directory()

    async def directory(self, budget_s: float = DEFAULT_BUDGET_S) -> Directory:
        """All subscriptions and rules that were stored before the call began.

        Only the version is read, as long as it is the one held here.
        """
        held = self._held
        version, *contents = await self._engine.run(
            TOPICS, [self._engine.names.base], held.version, budget_s=budget_s
        )
        if not contents:
            return held
        subscriptions, rules = map(_entries, contents)
        rules.pop(_VERSION, None)
        found = Directory(
            version,
            changed_at=int(subscriptions.pop(_VERSION, 0)),
            ended_at=int(subscriptions.pop(_ENDED, 0)),
            subscriptions=[decode_subscription(*entry) for entry in subscriptions.items()],
            rules=[decode_rule(*entry) for entry in rules.items()],
        )
        # Of several readings under way at once the one that ends last stays, which need not be the
        # newest: then the next call finds another version, and reads once more.
        self._held = found
        return found

    async def subscribe(
        self, subscription: Subscription, budget_s: float = DEFAULT_BUDGET_S
    ) -> tuple[Subscription, int]:
        """Stores a subscription, in place of the one of that name; it, and the version they have.

        Raises:
            LimitExceeded: there are too many.
        """
        version, entry = await self._put(
            _SUBSCRIPTIONS,
            subscription.name,
            encode_subscription(subscription),
            MAX_SUBSCRIPTIONS,
            budget_s,
        )
        return decode_subscription(subscription.name, entry), int(version)

    async def unsubscribe(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> bool:
        """Removes a subscription: whether there was one. Its jobs stay."""
        return await self._drop(_SUBSCRIPTIONS, name, budget_s)

    async def put_rule(self, rule: TopicRule, budget_s: float = DEFAULT_BUDGET_S) -> TopicRule:
        """Stores a rule, in place of the one of that pattern.

        Raises:
            LimitExceeded: there are too many.
        """
        _, entry = await self._put(_RULES, rule.pattern, encode_rule(rule), MAX_RULES, budget_s)
        return decode_rule(rule.pattern, entry)

    async def drop_rule(self, pattern: str, budget_s: float = DEFAULT_BUDGET_S) -> bool:
        """Removes a rule: whether there was one."""
        return await self._drop(_RULES, pattern, budget_s)

    async def publish(
        self, jobs: Sequence[NewJob], budget_s: float = DEFAULT_BUDGET_S
    ) -> list[Published]:
        """Stores the jobs of one message (see `job_of`), all of them or else raises.

        Repeating it completes what a failure left undone, and makes no job twice.

        Raises:
            MessageReused: the message id stands for another topic or payload.
            PenstockError: what kept one of the jobs out; others may be stored.
        """
        outcomes = await self._jobs.submit_many(jobs, budget_s)
        faults = [outcome for outcome in outcomes if isinstance(outcome, PenstockError)]
        for fault in faults:
            if isinstance(fault, AlreadyExists):
                raise MessageReused(fault.job_id)
        if faults:
            raise faults[0]
        return [
            Published(job.type, job.queue, _as_repeated(outcome))
            for job, outcome in zip(jobs, outcomes, strict=True)
            if isinstance(outcome, Submitted)
        ]

    async def _put(
        self, kind: str, name: str, text: str, most: int, budget_s: float
    ) -> tuple[bytes, bytes]:
        version, *rest = await self._engine.write(
            PUT_TOPIC, [self._engine.names.base], kind, name, text, most, budget_s=budget_s
        )
        if version is None:
            what = "subscriptions" if kind == _SUBSCRIPTIONS else "rules of topics"
            raise LimitExceeded(f"the namespace has {most} {what} already")
        return version, rest[0]

    async def _drop(self, kind: str, name: str, budget_s: float) -> bool:
        names = self._engine.names
        return bool(
            await self._engine.write(DROP_TOPIC, [names.base], kind, name, budget_s=budget_s)
        )


def _as_repeated(receipt: Submitted) -> Submitted:
    """A message that outlived its job is met by the idempotency key, which is its own alone."""
    if receipt.outcome is not SubmitOutcome.JOINED:
        return receipt
    return Submitted(receipt.job_id, receipt.state, SubmitOutcome.REPEATED)


def _entries(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {name.decode(): entry for name, entry in fields_of(flat).items()}
