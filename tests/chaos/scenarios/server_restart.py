"""The server is killed and comes back: how soon that is over for clients."""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.load.callers import Callers
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

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
        async with (
            Stage(run, lease_s=2, slots=50) as stage,
            LoopLag() as lag,
            _Callers() as callers,
        ):
            await stage.start_gateway()
            await stage.start_gateway()
            stage.start_worker()
            async with stage.connect() as client:
                await stage.registered(client)
                for _ in range(CALLERS):
                    callers.submit_each_time(client)
                    callers.run_each_time(client)
                await _restart(run, stage, callers)
                await callers.finish()
        callers.into(run.result)
        answered_ms, ran_ms = callers.back_ms["submit"], callers.back_ms["run"]
        tally = run.result.tally("the server is killed and restarted", self.rows)
        tally.strikes += run.scaled(RESTARTS)
        tally.recovery_ms += answered_ms
        for what, times in (("answered", answered_ms), ("ran a job", ran_ms)):
            run.result.figures[f"clients {what} after"] = (
                f"median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms"
            )
        run.result.aim(
            max(answered_ms) <= (BACK_IN_S + lag.worst_s) * 1000,
            f"a client was answered only {max(answered_ms):.0f} ms after the server's return",
        )


async def _restart(run: Run, stage: Stage, callers: _Callers) -> None:
    """Does it again and again; after each time, all are answered."""
    for number in range(run.scaled(RESTARTS)):
        await asyncio.to_thread(stage.server.kill)
        shortest_s, longest_s = AWAY_S
        longest_s *= min(max(run.scale, 1.0), 3.0)
        await asyncio.sleep(run.chance.uniform(shortest_s, longest_s))
        await asyncio.to_thread(stage.server.start)
        callers.listen()
        await when(callers.are_answered, "clients are answered")
        worst_ms = max(callers.back_ms["submit"])
        run.say(f"restarted {number + 1} times: answered after {worst_ms:.0f} ms at worst")


class _Callers(Callers):
    """Callers who note when each of them is answered first after a restart.

    Attributes:
        back_ms: how long after the server's return, by kind of call (ms).
    """

    def __init__(self) -> None:
        super().__init__(PAUSE_S)
        self.back_ms: dict[str, list[float]] = {}
        self._silent: set[int] = set()
        self._number = 0
        self._back_s = 0.0

    def submit_each_time(self, client: AsyncClient) -> None:
        """One more, who submits."""

        async def submit() -> None:
            with self.call("submit"):
                await client.submit("hold", 0)

        self._add("submit", submit)

    def run_each_time(self, client: AsyncClient) -> None:
        """One more, who submits, and waits for what becomes of it."""

        async def run() -> None:
            with self.call("submit"):
                handle = await client.submit("hold", 0)
            with self.call("run"):
                await handle.wait(timeout=PATIENCE_S)

        self._add("run", run)

    def listen(self) -> None:
        """The server is back."""
        self._back_s = time.monotonic()
        self._silent = set(range(self._number))

    def are_answered(self) -> bool:
        """Whether each of them has done once what it does since then."""
        return not self._silent

    def _add(self, kind: str, do: Callable[[], Awaitable[None]]) -> None:
        number = self._number
        self._number += 1

        async def once() -> None:
            await do()
            if number in self._silent:
                self._silent.remove(number)
                back_ms = (time.monotonic() - self._back_s) * 1000
                self.back_ms.setdefault(kind, []).append(back_ms)

        self.begin(kind, once)
