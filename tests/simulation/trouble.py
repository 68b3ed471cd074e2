"""What befalls a life: broken links, lost replies, dead and revived processes, odd dates."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from tests.simulation.actors import GatewayActor, WorkerActor
    from tests.simulation.life import Life

__all__ = ["KINDS", "Trouble"]

_A = TypeVar("_A", "GatewayActor", "WorkerActor")

#: Each life has some of them, and each of them more or less often.
KINDS: Final = (
    "cut",
    "lost",
    "freeze",
    "away",
    "flush",
    "kill worker",
    "stop worker",
    "drain worker",
    "kill gateway",
    "stop gateway",
    "date",
    "group",
    "structure",
)


class Trouble:
    """Brews it, by chance, and ends it.

    Attributes:
        counts: how often each kind came.
        dead: processes that were killed, or left.
    """

    def __init__(self, life: Life) -> None:
        self._life = life
        self._chance = life.chance
        self.counts: Counter[str] = Counter()
        self.dead: list[GatewayActor | WorkerActor] = []
        self._structures_lost = False
        wanted = 0 if life.calm else self._chance.randint(1, 6)
        self._kinds = self._chance.sample(KINDS, wanted)
        self._every_s = self._chance.choice([0.3, 1.0, 3.0])
        if life.revived:
            self._kinds, self._every_s = ["stop worker", "stop worker", "freeze"], life.lease_s
        elif life.seed % 5 == 3:
            self._kinds, self._every_s = ["date", "kill worker"], 0.3

    async def brew(self) -> None:
        """Until it is cancelled."""
        while self._kinds:
            await asyncio.sleep(self._chance.expovariate(1 / self._every_s))
            kind = self._chance.choice(self._kinds)
            self.counts[kind] += 1
            self._strike(kind)

    async def heal(self) -> None:
        """Everybody is there and well, and the date is right."""
        life = self._life
        life.bells.loss = min(life.bells.loss, 0.2)
        life.clock.settle()
        life.network.away_until_s = 0.0
        if not life.calm:  # There every ring is to be heard, and one that knows no script is lost.
            # The last thing that befalls it: nobody connects anew after that, and has them loaded.
            life.network.server.forget_scripts()
        for actor in (*life.gateways, *life.workers):
            if actor.process.stopped:
                actor.process.go_on()
        if self._structures_lost:
            # What is missing is looked for after a reconnect; the mark that one such walk is
            # enough for a minute lives by the server's real clock.
            await asyncio.sleep(61)
            for key in life.network.server.ask("KEYS", "ps{*:walk"):
                life.network.server.ask("DEL", key)
            for link in list(life.network.links):
                link.cut(deliver_late=True)
        gateway = life.gateways[-1]
        await gateway.broker.link.ready()
        server = life.network.server
        for key in sorted(server.ask("KEYS", "ps{*:paused")):
            server.ask("DEL", key)

    def _strike(self, kind: str) -> None:  # noqa: C901, PLR0912 - one line or two for each kind.
        life, chance = self._life, self._chance
        loop = asyncio.get_running_loop()
        match kind:
            case "cut" | "lost":
                if life.network.links:
                    link = chance.choice(life.network.links)
                    link.cut(deliver_late=kind == "cut")
            case "freeze":
                if life.network.links:
                    for_s = chance.choice([0.2, life.lease_s, 3 * life.lease_s, 12.0])
                    chance.choice(life.network.links).freeze(for_s)
            case "away":
                life.network.away_until_s = loop.time() + chance.uniform(0.0, 2 * life.lease_s)
                life.network.server.forget_scripts()
                for link in list(life.network.links):
                    link.cut(deliver_late=False)
            case "flush":
                life.network.server.forget_scripts()
            case "kill worker":
                self._end(life.workers, by_force=True)
                life.new_worker()
            case "kill gateway":
                self._end(life.gateways, by_force=True)
                life.new_gateway()
            case "drain worker":
                self._end(life.workers, by_force=False)
                life.new_worker()
            case "stop worker":
                self._suspend(chance.choice(life.workers))
            case "stop gateway":
                self._suspend(chance.choice(life.gateways))
            case "date":
                jumps = [0, 1, -1, 60, -60, 3_600, -3_600, 200_000]
                # By little, so that a schedule may come to name again what it has fired.
                jumps += [3, -3, 10, -10] if life.planned else []
                life.clock.jumped_s = chance.choice(jumps)
            case _:
                self._lose(kind)

    def _end(self, actors: list[_A], *, by_force: bool) -> None:
        actor = self._chance.choice(actors)
        actors.remove(actor)
        self.dead.append(actor)
        if by_force or actor.process.stopped:
            actor.kill()
        else:
            actor.leave()

    def _suspend(self, actor: WorkerActor | GatewayActor) -> None:
        if actor.process.stopped:
            return
        actor.process.stop()
        for_s = self._chance.choice([0.5, 2.0, 3.0]) * self._life.lease_s
        asyncio.get_running_loop().call_later(for_s, self._resume, actor)

    @staticmethod
    def _resume(actor: WorkerActor | GatewayActor) -> None:
        if actor.process.stopped and not actor.process.killed:
            actor.process.go_on()

    def _lose(self, kind: str) -> None:
        """By foreign hands."""
        server = self._life.network.server
        if kind == "group":
            for key in sorted(server.ask("KEYS", "ps{*:s:[hdl]")):
                server.ask("XGROUP", "DESTROY", key, "workers")
            return
        names = ["s:h", "s:d", "s:l", "due", "lease", *(["sched"] if self._life.planned else [])]
        name = self._chance.choice(names)
        keys = sorted(server.ask("KEYS", f"ps{{*:{name}"))
        if keys:
            self._structures_lost = True
            server.ask("DEL", self._chance.choice(keys))
            self._life.witness.refresh(server.peek())
