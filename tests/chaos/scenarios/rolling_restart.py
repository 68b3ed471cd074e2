"""Gateways are restarted one after the other, as a deployment does it, under load."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.load.callers import Callers, plain_channel
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from tests.chaos.scenario import Run

__all__ = ["RollingRestart"]

GATEWAYS: Final = 2
ROUNDS: Final = 4
CALLERS: Final = 4
GRACE_S: Final = 3.0
#: A gateway that is told to stop has ended so much later than its grace at most (s).
EXIT_S: Final = 2.0
#: Between the restart of one and that of the next (s): gRPC by itself calls again at a gateway that
#: was away after 1 s, then 1.6 s, then 2.6 s ..., so for a moment it knows of the other one alone.
PAUSE_S: Final = 4.0


class RollingRestart(Scenario):
    """Two gateways are restarted (SIGTERM) in turn, again and again, while clients call them."""

    name: ClassVar = "rolling_restart"
    rows: ClassVar = (33,)
    expects: ClassVar = (
        "no call fails, neither of our client nor of plain gRPC with the published service config; "
        "streams go on without a gap; a gateway exits within its grace and 2 s"
    )
    seconds: ClassVar = 35.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, slots=100, shutdown_grace_s=GRACE_S) as stage, Callers() as callers:
            gateways = [await stage.start_gateway() for _ in range(GATEWAYS)]
            stage.start_worker()
            async with stage.connect() as client, plain_channel(stage.ports) as channel:
                await stage.registered(client)
                for _ in range(CALLERS):
                    callers.submit_by(client)
                    callers.submit_plainly_by(channel)
                    callers.watch_by(client)
                exits_s = []
                for number in range(run.scaled(ROUNDS)):
                    place = number % GATEWAYS
                    began_s = time.monotonic()
                    gateways[place].terminate()
                    status = await asyncio.to_thread(gateways[place].wait)
                    exits_s.append(time.monotonic() - began_s)
                    run.result.expect(status == 0, "exit", f"a gateway exited with {status}")
                    gateways[place] = await stage.start_gateway(stage.ports[place])
                    run.say(f"{number + 1} gateways restarted")
                    await asyncio.sleep(PAUSE_S)
                await callers.finish()
        tally = run.result.tally("a gateway is restarted", self.rows)
        tally.strikes += len(exits_s)
        callers.into(run.result)
        run.result.figures["a gateway exits after"] = f"worst {max(exits_s):.2f} s"
        run.result.figures["events watched"] = str(callers.events)
        run.result.aim(
            max(exits_s) <= GRACE_S + EXIT_S,
            f"a gateway with a grace of {GRACE_S:g} s took {max(exits_s):.2f} s to exit",
        )
