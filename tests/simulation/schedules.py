"""Those who keep schedules: create, change, pause, resume and delete them, and run them by hand."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import InvalidArgument, NotFound
from penstock.broker.schedule import CatchUp, Overlap
from tests.simulation.callers import Client
from tests.simulation.plans import Spec

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.broker import Broker
    from tests.simulation.life import Life

__all__ = ["Planner"]

#: By how long jobs take, which is by the lease (s): what schedules ask for can be done.
INTERVALS_MS: Final = {1.0: (2_000, 5_000), 2.0: (5_000, 10_000), 10.0: (20_000, 30_000)}
WAYS: Final = ("wait", "wait", "pause", "pause", "update", "trigger", "again", "delete")


class Planner(Client):
    """One who has one schedule at a time, all of one id."""

    def __init__(self, life: Life, schedule_id: str) -> None:
        # By a chance of its own: lives without schedules are what they were.
        chance = random.Random(f"{life.seed} {schedule_id}")  # noqa: S311 - no secret.
        super().__init__(life, chance)
        self._id = schedule_id
        self._plans = life.witness.occurrences.plans
        self._lives = 0
        self._spec: Spec | None = None
        self._doubtful = False
        self._triggered: list[tuple[int, str, str]] = []

    @property
    def _key(self) -> tuple[str, int]:
        return self._id, self._lives

    async def run(self) -> None:
        """Calls again and again, and then no more."""
        chance = self._chance
        for _ in range(3 if self._life.calm else chance.randint(5, 10)):
            if self._spec is None:
                await self._create()
            if self._spec is None:
                continue
            await asyncio.sleep(chance.choice([0.0, 0.3, 1.0, 5.0]))
            match "wait" if self._life.calm else chance.choice(WAYS):
                case "pause":
                    await self._pause()
                case "update":
                    await self._update()
                case "trigger":
                    await self._trigger(f"{len(self._triggered)}")
                case "again" if self._triggered and self._triggered[-1][0] == self._lives:
                    await self._trigger(self._triggered[-1][1])
                case "delete":
                    await self.delete()
                case _:
                    await asyncio.sleep(5.0)

    async def delete(self) -> None:
        """Nothing is fired from then on."""
        if await self._ask(lambda broker: broker.schedules.delete(self._id)) is not None:
            self._plans.ended.add(self._key)
            self._spec = None

    def check(self) -> None:
        """What was made by hand is there, once."""
        witness = self._life.witness
        tails: dict[tuple[int, str], set[str]] = {}
        for life, request_id, tail in self._triggered:
            if tail:
                tails.setdefault((life, request_id), set()).add(tail)
                there = tail in witness.jobs or tail in witness.gone
                witness.expect(there, "I1", f"{tail}: acknowledged as made by hand, and lost")
        for (life, request_id), found in tails.items():
            witness.expect(
                len(found) == 1, "I3", f"{self._id} {life}: {request_id} by hand is {found}"
            )

    # Inside.

    def _new(self, number: int) -> Spec:
        chance, life = self._chance, self._life
        every_ms = chance.choice(INTERVALS_MS[life.lease_s])
        start_ms, end_ms = life.clock.server_ms + chance.choice([-3_000, 0, 777]), None
        if not life.calm and chance.random() < 0.2:
            end_ms = life.clock.server_ms + 10 * every_ms
        before = self._spec
        spec = Spec(
            self._id,
            self._lives,
            number,
            every_ms,
            None if chance.random() < 0.5 else start_ms,
            end_ms,
            before.overlap
            if before
            else chance.choice([Overlap.ALLOW] if life.calm else [*Overlap]),
            chance.choice([*CatchUp]),
            chance.choice([1_000, 60_000]),
            brief=chance.random() < 0.5,
        )
        self._plans.specs[spec.name] = spec
        return spec

    async def _create(self) -> None:
        self._lives += 1
        self._doubtful = False
        self._spec = spec = self._new(1)
        self._plans.current[self._key] = {spec.name}
        if await self._change(lambda broker: broker.schedules.create(spec.as_new())) is None:
            # It may be there, and whatever it is, it has to go before there is another.
            self._doubtful = True
            await self.delete()

    async def _update(self) -> None:
        assert self._spec is not None
        spec = self._new(self._spec.number + 1)
        names = self._plans.current[self._key]
        names.add(spec.name)
        told = await self._change(lambda broker: broker.schedules.update(spec.as_new()))
        self._spec = spec
        if told is not None and not self._doubtful:
            self._plans.current[self._key] = {spec.name}

    async def _pause(self) -> None:
        """For a while."""
        told = await self._change(lambda broker: broker.schedules.pause(self._id))
        if told is not None and not self._doubtful:
            self._plans.silent.add(self._key)
        await asyncio.sleep(self._chance.choice([0.0, 1.0, 5.0]))
        self._plans.silent.discard(self._key)
        await self._change(lambda broker: broker.schedules.resume(self._id))

    async def _trigger(self, request_id: str) -> None:
        by_hand = self._plans.by_hand
        if (self._lives, request_id) not in {made[:2] for made in self._triggered}:
            by_hand[self._key] = by_hand.get(self._key, 0) + 1
        request = f"{self._lives} {request_id}"
        receipt = await self._change(lambda broker: broker.schedules.trigger(self._id, request))
        tail = receipt.job_id[-26:] if receipt else ""
        self._triggered.append((self._lives, request_id, tail))

    async def _change(self, call: Callable[[Broker], Awaitable[Any]]) -> Any:  # noqa: ANN401 - as the call.
        """As `_ask`; without an answer it may come to pass at any later time."""
        try:
            answer = await self._ask(call)
        except NotFound:
            # Only where its creation had no answer.
            self._life.witness.expect(self._doubtful, "I1", f"{self._key}: acknowledged, and lost")
            return None
        except InvalidArgument:
            # Its end has come before it was there; but a try before this may have had no answer.
            self._doubtful = self._doubtful or self._tries > 1
            return None
        self._doubtful = self._doubtful or answer is None
        return answer
