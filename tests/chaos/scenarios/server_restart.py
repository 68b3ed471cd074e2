"""The server is killed and comes back: how soon that is over for clients."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import PenstockError
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.stage import PATIENCE_S, Pulse, Stage, when

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["ServerRestart"]

RESTARTS: Final = 10
CALLERS: Final = 6
#: For how long the server is away, from kill -9 to its start (s); longer in longer runs.
AWAY_S: Final = (0.0, 3.0)
#: Clients are answered again so soon after its return (s).
BACK_IN_S: Final = 2.0
PAUSE_S: Final = 0.01


class ServerRestart(Scenario):
    """The server is killed (kill -9) and restarted, again and again, while clients call."""

    name: ClassVar = "server_restart"
    rows: ClassVar = (15,)
    expects: ClassVar = "no call fails, and each client is answered within 2 s of its return"
    seconds: ClassVar = 40.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=2, slots=50) as stage, Pulse() as pulse:
            await stage.gateway()
            await stage.gateway()
            stage.worker()
            async with stage.client(timeout_s=PATIENCE_S) as client:
                await stage.registered(client)
                callers = [
                    _Caller(client, do) for do in (_submit, _run_one) for _ in range(CALLERS)
                ]
                try:
                    times_ms = await _restart(run, stage, callers)
                finally:
                    for caller in callers:
                        caller.task.cancel()
                    await asyncio.wait({caller.task for caller in callers})
        answered_ms, ran_ms = times_ms[_submit], times_ms[_run_one]
        run.result.operations["submit"] = sum(caller.calls for caller in callers)
        run.result.jobs += run.result.operations["submit"]
        tally = run.result.tally("the server is killed and restarted", self.rows)
        tally.strikes += round(RESTARTS * run.scale)
        tally.recovery_ms += answered_ms
        for what, times in (("answered", answered_ms), ("ran a job", ran_ms)):
            run.result.figures[f"clients {what} after"] = (
                f"median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms"
            )
        failures = [failure for caller in callers for failure in caller.failures]
        run.result.expect(not failures, "calls", "calls failed", *failures[:5])
        run.result.aim(
            max(answered_ms) <= (BACK_IN_S + pulse.worst_s) * 1000,
            f"a client was answered only {max(answered_ms):.0f} ms after the server's return",
        )


async def _restart(
    run: Run, stage: Stage, callers: list[_Caller]
) -> dict[Callable[[AsyncClient], Awaitable[None]], list[float]]:
    """Does it again and again. For each of what is done, when it was done first (ms)."""
    times_ms: dict[Callable[[AsyncClient], Awaitable[None]], list[float]] = {}
    for number in range(round(RESTARTS * run.scale)):
        await asyncio.to_thread(stage.server.kill)
        shortest_s, longest_s = AWAY_S
        longest_s *= min(max(run.scale, 1.0), 3.0)
        await asyncio.sleep(run.chance.uniform(shortest_s, longest_s))
        await asyncio.to_thread(stage.server.start)
        at_s = time.monotonic()
        for caller in callers:
            caller.first_s = None
        await when(
            lambda: all(caller.first_s is not None for caller in callers), "clients are answered"
        )
        for caller in callers:
            if caller.first_s is not None:
                times_ms.setdefault(caller.do, []).append((caller.first_s - at_s) * 1000)
        worst_ms = max(times_ms[_submit])
        run.say(f"restarted {number + 1} times: answered after {worst_ms:.0f} ms at worst")
    return times_ms


async def _submit(client: AsyncClient) -> None:
    await client.submit("hold", 0)


async def _run_one(client: AsyncClient) -> None:
    handle = await client.submit("hold", 0)
    await handle.wait(timeout=PATIENCE_S)


class _Caller:
    """One who does the same all the time, and when it was done first after a restart."""

    def __init__(self, client: AsyncClient, do: Callable[[AsyncClient], Awaitable[None]]) -> None:
        self.do = do
        self.calls = 0
        self.failures: list[str] = []
        self.first_s: float | None = None
        self.task = asyncio.create_task(self._go(client))

    async def _go(self, client: AsyncClient) -> None:
        while True:
            try:
                await self.do(client)
            except PenstockError as error:
                self.failures.append(f"{type(error).__name__}: {error}")
            else:
                self.calls += 1
                if self.first_s is None:
                    self.first_s = time.monotonic()
            await asyncio.sleep(PAUSE_S)
