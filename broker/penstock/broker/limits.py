"""Limits: the part of policies that scripts keep, put down in each slot of a queue as its share.

A limit of a queue is split over its partitions, since no script crosses slots. Each slot bears the
fingerprint of what its queue should have, so that whoever keeps house there sees when it does not.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple

from penstock.broker import ids
from penstock.broker.engine import DEFAULT_BUDGET_S, Engine, QueueInfo
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.doorbell import Doorbell
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg
    from penstock.broker.policy import Policy

LIMIT = load_script("limit")

#: In place of the fingerprint that is replaced: whatever is not newer.
ANYTHING: Final = "*"
#: Idle workers that are woken where limits have changed.
RINGS: Final = 100


class QueueLimits(NamedTuple):
    """What a queue is limited to, all partitions together; None is no limit.

    Attributes:
        running: jobs RUNNING at once.
        succeeded: jobs kept that succeeded.
        failed: jobs kept in each other terminal state.
        types: of each job type that is limited: its name, and the same.
    """

    running: int | None = None
    succeeded: int | None = None
    failed: int | None = None
    types: tuple[tuple[str, int | None, int | None, int | None], ...] = ()

    @classmethod
    def of(cls, policies: Mapping[str, Policy]) -> QueueLimits:
        """From the policies of a queue by type, '' for all types."""
        rows = {name: _limits(policy) for name, policy in sorted(policies.items())}
        own = rows.pop("", (None, None, None))
        return cls(*own, tuple((name, *row) for name, row in rows.items() if any_set(row)))

    @property
    def fingerprint(self) -> str:
        """Tells one set of limits from another; '' where there are none."""
        if self == QueueLimits():
            return ""
        return blake2b(repr(tuple(self)).encode(), digest_size=10).hexdigest()

    def share(self, partition: int, partitions: int) -> list[Arg]:
        """The arguments of `LIMIT` for one partition, from its fourth on."""

        def part(limit: int | None, none: str, least: int) -> str:
            if limit is None:
                return none
            before, after = partition * limit // partitions, (partition + 1) * limit // partitions
            return str(max(least, after - before))

        args: list[Arg] = [
            part(self.running, "", 1),
            part(self.succeeded, "", 0),
            part(self.failed, "", 0),
        ]
        for name, running, succeeded, failed in self.types:
            limits = part(running, "-", 1), part(succeeded, "-", 0), part(failed, "-", 0)
            args += (name, ids.key_digest(name), " ".join(limits))
        return args


class Limiter:
    """Puts limits down."""

    def __init__(self, engine: Engine, doorbell: Doorbell) -> None:
        self._engine = engine
        self._doorbell = doorbell

    async def put(
        self, queue: QueueInfo, limits: QueueLimits, version: int, budget_s: float
    ) -> None:
        """Puts down the limits of a queue in all its slots, but where newer ones stand.

        Args:
            queue: whose.
            limits: of the whole queue.
            version: of the policies that they come from.
            budget_s: how long to try.
        """
        for slot in self._engine.slots(queue):
            await self._put(slot, queue, limits, version, ANYTHING, budget_s)

    async def mend(self, slot: Slot, stood: str, limits: QueueLimits, version: int) -> None:
        """Puts down the limits of a queue in one slot, if what stood there still does.

        Args:
            slot: to put right.
            stood: the fingerprint that was found there, before the limits were read.
            limits: of the whole queue.
            version: of the policies that they come from.
        """
        for queue in await self._engine.queues():
            if queue.code == slot.queue_code:
                await self._put(slot, queue, limits, version, stood, DEFAULT_BUDGET_S)

    async def _put(  # noqa: PLR0917 - each has its place, and its own type.
        self,
        slot: Slot,
        queue: QueueInfo,
        limits: QueueLimits,
        version: int,
        replaces: str,
        budget_s: float,
    ) -> None:
        stands: int = await self._engine.run(
            LIMIT,
            [slot.base],
            replaces,
            version,
            limits.fingerprint,
            *limits.share(slot.partition, queue.partitions),
            budget_s=budget_s,
        )
        if stands:
            self._doorbell.ring(slot, RINGS)


def any_set(limits: tuple[int | None, ...]) -> bool:
    """Whether there is a limit among them."""
    return any(limit is not None for limit in limits)


def _limits(policy: Policy) -> tuple[int | None, int | None, int | None]:
    return policy.concurrency, policy.succeeded.count, policy.failed.count
