"""The primary is lost for good, under load, and its replica takes over."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar, Final, Self

from penstock.client import Durability
from penstock.runtime._probe import ProbeError
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.load.steady import Load
from tests.chaos.scenario import Scenario
from tests.chaos.server.server import ChaosServer
from tests.chaos.waiting import when
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.load.steady import Ack
    from tests.chaos.scenario import Run

__all__ = ["Replicated"]

#: Jobs that are acknowledged by those who do not wait while the replica hears nothing, at least.
UNHEARD: Final = 10
#: Longer than a gateway has a call wait for its replicas (s), so that some are told of it in vain.
SILENCE_S: Final = 3.0
#: For answers that are on their way (s).
ARRIVES_S: Final = 0.05
#: Jobs acknowledged between two losses, at least.
BETWEEN: Final = 150
#: For so long the rate of acknowledgements is measured (s).
RATE_S: Final = 3.0
CALLERS: Final = 50
#: Request ids of those who are content with `always` begin here.
CARELESS: Final = 100_000_000
#: Of a call, its repetitions included (s).
TIMEOUT_S: Final = 120.0
#: A copy begins at a tick of the primary, once a second.
_COPY_WITHIN_S: Final = 60.0
_SHIMS: Final = ("fsyncspy",)
_REPLICATION: Final = {
    "repl-diskless-sync-delay": "0",
    # Nobody is given up because a machine is slow.
    "repl-timeout": "600",
}


class Replicated(Scenario):
    """The primary is lost under load, disk and all, and its replica is promoted in its place.

    It is killed, or loses its power, a moment after its replica was cut off from it, or hangs.
    Gateways and workers find the promoted one at the same address. The lost one comes back as its
    replica, so that there is somebody to confirm again. Beside gateways that wait for the replica
    there is one that does not, so that it is seen that a loss would be seen.
    """

    name: ClassVar = "replicated"
    rows: ClassVar = (25,)
    expects: ClassVar = (
        "no job that was acknowledged as `replicated` is lost, every receipt names the level, and "
        "no call fails in the end"
    )
    seconds: ClassVar = 40.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        result = run.result
        async with _Pair(run) as pair, Load(pair.client) as load:
            careless = Load(pair.careless, first=CARELESS)
            lost: list[Ack] = []
            for number in range(run.scaled(3, at_least=3)):
                run.say(f"failover {number + 1}")
                async with careless:
                    await load.more(BETWEEN)
                    pair.cut_off(hangs=number % 3 == 2)
                    await careless.more(UNHEARD)
                    if number % 3 == 0:
                        await asyncio.sleep(SILENCE_S)
                    await pair.lose_primary(power=number % 2 == 1)
                    await asyncio.sleep(ARRIVES_S)
                    acked = list(careless.acks.values())
                    tally = result.tally(pair.fault, self.rows)
                    tally.strikes += 1
                    await pair.replace()
                    back_at = time.monotonic()
                    await load.more(1)
                    tally.recovery_ms.append((time.monotonic() - back_at) * 1000)
                jobs = await careless.look(acked)
                lost += [ack for ack in acked if jobs[ack.number] is None]
                careless = Load(pair.careless, first=CARELESS * (number + 2))
            jobs = await load.look(list(load.acks.values()))
            gone = [number for number, job in jobs.items() if job is None]
            await self._measure(pair, run)
        wrong = {ack.durability for ack in load.acks.values()} - {Durability.REPLICATED}
        result.jobs += len(load.acks)
        result.figures["replicated: jobs lost"] = f"{len(gone)} of {len(load.acks)}"
        result.figures["always: jobs lost with the primary"] = str(len(lost))
        result.expect(not gone, "I1", f"acknowledged jobs are lost: {gone[:5]}")
        result.expect(not wrong, "durability", f"receipts name {wrong}")
        told = f"calls failed in spite of retries: {load.errors}"
        result.expect(not load.errors, "calls", told)
        # Else this scenario could not see a loss, and would prove nothing above.
        result.expect(lost, "harness", "nothing was lost of what no replica confirmed")

    async def _measure(self, pair: _Pair, run: Run) -> None:
        """How many submits are acknowledged, with and without a replica."""
        for number, (name, client) in enumerate(
            (("replicated", pair.alone), ("always", pair.careless))
        ):
            async with Load(
                client, tasks=CALLERS, pause_s=0, first=CARELESS * (100 + number)
            ) as load:
                await load.more(CALLERS)
                before, began = len(load.acks), time.monotonic()
                await asyncio.sleep(RATE_S)
                rate = (len(load.acks) - before) / (time.monotonic() - began)
            run.result.figures[f"{name}: submits acknowledged, {CALLERS} callers"] = f"{rate:.0f}/s"


class _Pair:
    """A primary and its replica behind one address, gateways, and workers.

    Attributes:
        copying: the link that the replica follows its primary by.
        client: of gateways that wait for the replica.
        alone: of one of them.
        careless: of one that does not.
        fault: what the last loss was.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._stack = AsyncExitStack()
        self._hangs = False
        self.fault = ""

    async def __aenter__(self) -> Self:
        async with self._stack as stack:
            stage = Stage(self._run, shims=_SHIMS, options=_REPLICATION)
            await stack.enter_async_context(stage)
            await self._pair_up(stage)
            for level in ("replicated", "replicated", "always"):
                await stage.start_gateway(redis_url=self._address.url, min_durability=level)
            for _ in range(2):
                stage.start_worker(
                    redis_url=self._address.url, min_durability="replicated", lease_s=2
                )
            *waiting, careless = stage.ports
            self.client, self.alone, self.careless = [
                await stack.enter_async_context(stage.connect(*ports, timeout=TIMEOUT_S))
                for ports in (waiting, waiting[:1], [careless])
            ]
            handle = await self.client.submit("tally", -1, allow_unregistered=True)
            await handle.result(timeout=_COPY_WITHIN_S)
            self._stack = stack.pop_all()
        return self

    async def _pair_up(self, stage: Stage) -> None:
        """Starts the replica, and the links to the primary."""
        self._primary = stage.server
        folder, binary = self._run.folder / "replica", self._run.server_binary
        replica = ChaosServer(folder, binary, shims=_SHIMS, options=_REPLICATION)
        self._replica = await self._stack.enter_async_context(replica)
        self._address, self.copying = [
            await self._stack.enter_async_context(FaultProxy("127.0.0.1", self._primary.port))
            for _ in range(2)
        ]
        await self._follow(self._replica)

    async def __aexit__(self, *_error: object) -> None:
        await self._stack.aclose()

    def cut_off(self, *, hangs: bool) -> None:
        """Has the replica hear nothing from its primary any more.

        Args:
            hangs: since it is suspended; else the link between them is dead.
        """
        self._hangs = hangs
        self.copying.frozen = True
        if hangs:
            self._replica.pause()

    async def lose_primary(self, *, power: bool) -> None:
        """After `cut_off`: ends the primary, and promotes its replica.

        Args:
            power: by a power cut, else by kill -9.
        """
        why = "its replica hangs" if self._hangs else "its replica is cut off"
        self.fault = f"the primary {'loses its power' if power else 'is killed'}, {why}"
        end = self._primary.power_cut if power else self._primary.kill
        await asyncio.to_thread(end)
        self.copying.reset()
        self.copying.frozen = False
        if self._hangs:
            self._replica.resume()
        await asyncio.to_thread(self._replica.ask, "REPLICAOF", "NO", "ONE")
        self._primary, self._replica = self._replica, self._primary
        self._address.lead_to("127.0.0.1", self._primary.port)
        self.copying.lead_to("127.0.0.1", self._primary.port)

    async def replace(self) -> None:
        """Has the lost server come back, as a replica of the one that took over."""
        await asyncio.to_thread(self._replica.start)
        await self._follow(self._replica)

    async def _follow(self, replica: ChaosServer) -> None:
        words = "REPLICAOF", "127.0.0.1", str(self.copying.port)
        await asyncio.to_thread(replica.ask, *words)

        async def follows() -> bool:
            try:
                info = await asyncio.to_thread(replica.ask, "INFO", "replication")
            except (OSError, ProbeError):
                return False  # It takes its copy in.
            return "master_link_status:up" in info

        await when(follows, "the replica has its copy", _COPY_WITHIN_S)
