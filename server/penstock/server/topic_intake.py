"""From a message to the jobs that may be stored: who wants it, and every schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.broker import FailedPrecondition, InvalidArgument, LimitExceeded
from penstock.broker.topic import job_of
from penstock.server.breath import Breath
from penstock.server.payloads import is_json
from penstock.server.rule_schemas import validator_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker import NewJob, NewMessage, Subscription, TopicRule
    from penstock.broker.topics import Topics
    from penstock.server.admission import Admission
    from penstock.server.schemas import Schemas, Verdict

__all__ = ["TopicIntake"]

#: Most bytes that the jobs of one message may hold together.
MAX_FANOUT_BYTES: Final = 64 * 1024 * 1024

_PATH: Final = "payload.data"
Found = list[tuple[str, str]]


class TopicIntake:
    """Accepts messages, or says all that is wrong with them."""

    def __init__(self, topics: Topics, schemas: Schemas, admission: Admission) -> None:
        self._topics = topics
        self._schemas = schemas
        self._admission = admission
        self._version = b""

    async def accept(self, message: NewMessage, budget_s: float) -> list[NewJob]:
        """The jobs to store, one for each subscription that wants the message.

        Raises:
            InvalidArgument: with every violation, and whose it is.
            FailedPrecondition: a schema that the message is to be judged by cannot be used.
            LimitExceeded: it is too much for so many subscriptions.
            Unavailable: Redis cannot be asked who wants it.
            StorageFull: the server has no room for more jobs.
        """
        self._admission.check_room()
        directory = await self._topics.directory(budget_s)
        if directory.version != self._version:
            # Workers publish their schemas before they subscribe: whoever is new has them there.
            await self._schemas.refresh(budget_s)
            self._version = directory.version
        route = directory.route(message.envelope.topic)
        _refuse_flood(message, route.subscriptions)
        breath = Breath()
        found = await _judge_by_rule(message, route.rule, breath)
        if not found:
            found = await self._judge_by_types(message, route.subscriptions, breath, budget_s)
        if found:
            raise InvalidArgument(found)
        return [job_of(message, subscription, route.rule) for subscription in route.subscriptions]

    async def _judge_by_types(
        self,
        message: NewMessage,
        subscriptions: Sequence[Subscription],
        breath: Breath,
        budget_s: float,
    ) -> Found:
        """What the schemas of the subscriptions' job types have against the payload."""
        data = message.payload.data if is_json(message.payload.content_type) else None
        schemas = self._schemas

        async def judge(job_type: str) -> Verdict:
            return await schemas.judge(job_type, _PATH, data, breath)

        verdicts = {each.name: await judge(each.name) for each in subscriptions}
        doubtful = [name for name, verdict in verdicts.items() if not verdict.accepts]
        # A type that nobody registered takes anything, unless that was a while ago.
        known = any(verdicts[name].versions is not None for name in doubtful)
        if known or (doubtful and not schemas.is_fresh()):
            await schemas.refresh(budget_s)
        found: Found = []
        for name in doubtful:
            verdict = verdicts[name]
            if not schemas.holds(name, verdict):
                verdict = await judge(name)
            refusal = schemas.refusal(name, verdict, lenient=True)
            if isinstance(refusal, InvalidArgument):
                found += [
                    (path, f"subscription {name}: {text}") for path, text in refusal.violations
                ]
            elif refusal is not None:
                raise refusal
        return found


def _refuse_flood(message: NewMessage, subscriptions: Sequence[Subscription]) -> None:
    size = len(message.payload.data) * len(subscriptions)
    if size > MAX_FANOUT_BYTES:
        raise LimitExceeded(
            f"{len(subscriptions)} subscriptions want this message, and their jobs would hold "
            f"{size} bytes; at most {MAX_FANOUT_BYTES} are taken"
        )


async def _judge_by_rule(message: NewMessage, rule: TopicRule | None, breath: Breath) -> Found:
    """What the rule's schema has against the payload, and whether it can be read at all."""
    payload = message.payload
    if rule is None or not rule.schema:
        return await breath.judge(_PATH, payload.data, ()) if is_json(payload.content_type) else []
    whose = f"the rule of {rule.pattern}: "
    if not is_json(payload.content_type):
        return [("payload.content_type", f"{whose}with a schema, it takes JSON alone")]
    try:
        validator = validator_of(rule.schema)
    except ValueError as error:
        # Another version of the gateway took it.
        raise FailedPrecondition(
            "SCHEMA_UNUSABLE",
            f"the schema of the rule of {rule.pattern} cannot be used: {error}",
            {"pattern": rule.pattern},
        ) from error
    found = await breath.judge(_PATH, payload.data, [validator])
    return [(path, whose + text) for path, text in found]
