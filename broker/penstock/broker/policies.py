"""Policies where they are kept: one hash of the namespace, which every process holds a copy of.

The copy is read at every connect, again at most `REREAD_EVERY_S` later if the version has risen,
and at once by the process that changes something. So submits find their policy without a call.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import ids
from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.errors import InvalidArgument, LimitExceeded, NotFound, PenstockError
from penstock.broker.limits import Limiter, QueueLimits
from penstock.broker.policy import (
    Policy,
    PolicyEntry,
    PolicyKey,
    PolicySource,
    file_text,
    parse_file_text,
)
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script
from penstock.runtime import Periodic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.broker.doorbell import Doorbell
    from penstock.broker.engine import QueueInfo
    from penstock.broker.keys import Slot
    from penstock.broker.new_job import NewJob
    from penstock.broker.pipeline import Arg, Caller

PUT_POLICY = load_script("put_policy")

#: Fields that are no policy; # is in no name.
VERSION: Final = b"#version"
FILE: Final = b"#file"

MAX_POLICIES: Final = 1_000
MAX_TYPES_PER_QUEUE: Final = 100
#: How often the version is looked at (s): what one gateway acknowledged holds at all 1 s later.
REREAD_EVERY_S: Final = 0.5
#: Longest try to read it (s).
READ_WITHIN_S: Final = 0.4

_NOTHING: Final = Policy()
NO_LIMITS: Final = QueueLimits()

_log = logging.getLogger(__name__)


class Policies:
    """The policies of a namespace.

    Attributes:
        version: of the policies that are held; 0 while there were never any.
        file_known: whether those of a file are put down, be they none.
    """

    def __init__(self, engine: Engine, doorbell: Doorbell) -> None:
        self._engine = engine
        self._limiter = Limiter(engine, doorbell)
        self._set: dict[PolicyKey, Policy] = {}
        self._file: dict[PolicyKey, Policy] = {}
        self._effective: dict[PolicyKey, Policy] = {}
        self._limits: dict[str, QueueLimits] = {}  # By code of the queue.
        self.version = 0
        self.file_known = False

    # What holds.

    def fill(self, job: NewJob) -> NewJob:
        """A submit, with what it leaves open from the policy that holds for it.

        One that repeats an ended job leaves nothing open, not even that it has no timeout.
        """
        if job.retried_from or (not self._set and not self._file):
            return job
        return self.effective(job.queue, job.type).fill(job)

    def effective(self, queue: str, job_type: str = "") -> Policy:
        """What holds for jobs of a queue and type: the type's policy over the queue's."""
        key = PolicyKey(queue, job_type)
        known = self._effective.get(key)
        if known is not None:
            return known
        policy = self._held(PolicyKey(queue))
        if job_type:
            policy = self._held(key).over(policy)
        if len(self._effective) >= 10 * MAX_POLICIES:  # Of made-up names there is no end.
            self._effective.clear()
        self._effective[key] = policy
        return policy

    def entries(self, queue: str = "", *types: str) -> list[PolicyEntry]:
        """What was put down, by queue and type; what was set comes before what the file says.

        Args:
            queue: '' is all.
            types: '' stands for the queue's own policy; none given is all.
        """
        held = [
            *(PolicyEntry(key, policy, PolicySource.SET) for key, policy in self._set.items()),
            *(PolicyEntry(key, policy, PolicySource.FILE) for key, policy in self._file.items()),
        ]
        wanted = [
            entry
            for entry in held
            if (not queue or entry.key.queue == queue) and (not types or entry.key.type in types)
        ]
        return sorted(wanted, key=lambda entry: entry.key)

    def sources(self, queue: str, job_type: str = "") -> list[PolicyEntry]:
        """The policies that `effective` comes from, the strongest first."""
        strongest: dict[PolicyKey, PolicyEntry] = {}
        for entry in self.entries(queue, job_type, ""):
            strongest.setdefault(entry.key, entry)
        return list(reversed(strongest.values()))

    def max_waiting(self, queue: str) -> int | None:
        """How many jobs may wait in a queue, if its policy says so."""
        if not self._set and not self._file:
            return None
        return self._held(PolicyKey(queue)).max_waiting

    def concurrency(self, queue: str) -> dict[str, int]:
        """How many jobs of a queue may run at once, by type; '' is all types together."""
        return {
            key.type: most
            for key in {**self._file, **self._set}
            if key.queue == queue and (most := self._held(key).concurrency) is not None
        }

    def limits_in(self, slot: Slot) -> QueueLimits:
        """What the queue of a slot is limited to."""
        return self._limits.get(slot.queue_code, NO_LIMITS)

    def _held(self, key: PolicyKey) -> Policy:
        return self._set.get(key) or self._file.get(key) or _NOTHING

    # Changes.

    async def put(
        self, key: PolicyKey, policy: Policy, budget_s: float = DEFAULT_BUDGET_S
    ) -> PolicyEntry:
        """Puts a policy down, in place of the one that was set for the same before.

        Returns once its limits stand in all slots of the queue.

        Raises:
            InvalidArgument: a limit cannot be split over the partitions of the queue.
            LimitExceeded: there are too many.
        """
        queue = await self._engine.ensure_queue(key.queue, budget_s)
        _refuse_unsplittable(policy, queue)
        await self.refresh(budget_s)
        others = [other for other in self._set if other.queue == key.queue and other.type]
        if key.type and key not in self._set and len(others) >= MAX_TYPES_PER_QUEUE:
            msg = f"{MAX_TYPES_PER_QUEUE} types of the queue {key.queue} have policies already"
            raise LimitExceeded(msg)
        text = json.dumps(policy.to_plain(), sort_keys=True, separators=(",", ":"))
        await self._put(_field(key), text, budget_s)
        await self._put_limits(key.queue, budget_s)
        return PolicyEntry(key, policy, PolicySource.SET)

    async def delete(self, key: PolicyKey, budget_s: float = DEFAULT_BUDGET_S) -> bool:
        """Takes back what `put` put down. Returns whether there was anything."""
        deleted = await self._put(_field(key), "", budget_s) != b"absent"
        # Also if it was deleted before: whoever did may not have come so far.
        await self._put_limits(key.queue, budget_s)
        return deleted

    async def publish(
        self, policies: Mapping[PolicyKey, Policy], budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        """Puts the policies of a file down, in place of those of any file before."""
        await self.refresh(budget_s)
        queues = sorted({key.queue for key in (*policies, *self._file)})
        for name in queues:
            queue = await self._engine.ensure_queue(name, budget_s)
            for key in sorted(policies):
                least = policies[key].concurrency
                if key.queue == name and least is not None and least < queue.partitions:
                    _log.warning(
                        "%s: %d jobs at once cannot be split over %d partitions; each runs one",
                        " ".join(filter(None, key)),
                        least,
                        queue.partitions,
                    )
        await self._put(FILE, file_text(policies), budget_s)
        for name in queues:
            await self._put_limits(name, budget_s)

    async def _put(self, field: bytes, text: str, budget_s: float) -> bytes:
        answer: bytes = await self._engine.write(
            PUT_POLICY,
            [self._engine.names.policies()],
            field,
            text,
            MAX_POLICIES,
            budget_s=budget_s,
        )
        if answer == b"full":
            raise LimitExceeded(f"the namespace has {MAX_POLICIES} policies already")
        await self.refresh(budget_s)
        return answer

    async def _put_limits(self, name: str, budget_s: float) -> None:
        """Puts the limits of a queue down in its slots; they may be what others have changed."""
        try:
            queue = await self._engine.queue(name, budget_s)
        except NotFound:
            return
        limits = self._limits.get(queue.code, NO_LIMITS)
        await self._limiter.put(queue, limits, self.version, budget_s)

    async def mend(self, slot: Slot) -> None:
        """Puts the limits of one slot right, whatever made them differ."""
        link, key = self._engine.link, slot.limits()
        stood: bytes | None = await with_retry(
            lambda: link.call("HGET", key, "fp"), link=link, budget_s=DEFAULT_BUDGET_S
        )
        await self.refresh()
        limits = self.limits_in(slot)
        if limits.fingerprint != (stood or b"").decode():
            await self._limiter.mend(slot, (stood or b"").decode(), limits, self.version)

    # The copy.

    async def refresh(self, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Reads the policies anew, if their version has risen."""
        version = await self._call("HGET", VERSION, budget_s=budget_s)
        if int(version or 0) != self.version:
            self._take_in(await self._call("HGETALL", budget_s=budget_s))

    async def read(self, caller: Caller) -> None:
        """Reads the policies anew, whatever their version: at every connect."""
        self._take_in(await caller.call("HGETALL", self._engine.names.policies()))

    def _take_in(self, flat: Iterable[bytes]) -> None:
        flat = list(flat)
        stored = dict(zip(flat[::2], flat[1::2], strict=True))
        self.version = int(stored.pop(VERSION, 0))
        self.file_known = FILE in stored
        self._file = parse_file_text(stored.pop(FILE, b"[]"))
        self._set = {
            PolicyKey(*field.decode().split(" ")): Policy.from_plain(json.loads(text))
            for field, text in stored.items()
        }
        self._effective = {}
        by_queue: defaultdict[str, dict[str, Policy]] = defaultdict(dict)
        for key in {**self._file, **self._set}:
            by_queue[key.queue][key.type] = self._held(key)
        self._limits = {
            ids.queue_code(self._engine.namespace, queue): QueueLimits.of(policies)
            for queue, policies in by_queue.items()
        }

    async def _call(self, command: str, *args: Arg, budget_s: float) -> Any:  # noqa: ANN401 - by command.
        link, key = self._engine.link, self._engine.names.policies()
        return await with_retry(
            lambda: link.call(command, key, *args), link=link, budget_s=budget_s
        )


class PolicyReader(Periodic):
    """Keeps the copy of a process current."""

    def __init__(self, policies: Policies) -> None:
        super().__init__(interval_s=REREAD_EVERY_S, stop_grace_s=0.0, expendable=True)
        self._policies = policies

    async def tick(self) -> None:
        """Looks once; without Redis nothing is submitted either."""
        try:
            await self._policies.refresh(READ_WITHIN_S)
        except PenstockError as error:
            _log.debug("policies not read: %s", error)


class LimitMender:
    """Puts limits right that do not stand as they should: a chore of those who keep house."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def do(self, slot: Slot) -> float | None:
        """See `Chore`."""
        await self._policies.mend(slot)
        return None


def _refuse_unsplittable(policy: Policy, queue: QueueInfo) -> None:
    least = policy.concurrency
    if least is not None and least < queue.partitions:
        text = (
            f"{queue.name} has {queue.partitions} partitions, each of which has its share of the "
            f"limit: it must be at least {queue.partitions}"
        )
        raise InvalidArgument([("policy.concurrency", text)])


def _field(key: PolicyKey) -> bytes:
    return " ".join(part for part in key if part).encode()
