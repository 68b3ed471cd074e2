"""A link to the server that works, but is narrow."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.checks import memory_of
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.load.flood import Flood
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    import subprocess

    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["NarrowLink"]

NARROW_BYTES_PER_S: Final = 32_000
SUBMITTERS: Final = 200
FLOOD_S: Final = 12.0
#: Of each submit (s).
DEADLINE_S: Final = 3.0
PAYLOAD: Final = 100_000
#: What a gateway may take more of memory meanwhile.
GROWTH: Final = 250_000_000


class NarrowLink(Scenario):
    """Submits of 100 KB flood a gateway whose link to the server takes 32 KB a second."""

    name: ClassVar = "narrow_link"
    rows: ClassVar = (12,)
    expects: ClassVar = (
        "submits are refused within their deadlines, the gateway's memory is bounded, and all goes "
        "on when the link is as wide as before"
    )
    seconds: ClassVar = 30.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with AsyncExitStack() as exits:
            stage = await exits.enter_async_context(Stage(run))
            link = FaultProxy("127.0.0.1", stage.server.port)
            await exits.enter_async_context(link)
            lag = await exits.enter_async_context(LoopLag())
            gateway = await stage.start_gateway(redis_url=link.url)
            stage.start_worker()
            client = await exits.enter_async_context(stage.connect())
            blunt = await exits.enter_async_context(stage.connect(retry_for=0))
            await stage.registered(client)
            await _run_one(client)
            tally = run.result.tally("a link is narrow, and many submits are large", self.rows)
            tally.strikes += 1
            flood = Flood(blunt, PAYLOAD, rpc_timeout=DEADLINE_S)
            link.bytes_per_s = NARROW_BYTES_PER_S
            await _pour(run, flood, gateway)
            link.restore()
            began_s = time.monotonic()
            await _run_one(client)
            tally.recovery_ms.append((time.monotonic() - began_s) * 1000)
        _judge(run, flood, lag)


async def _run_one(client: AsyncClient) -> None:
    handle = await client.submit("hold", 0.0)
    await handle.wait(timeout=PATIENCE_S)


async def _pour(run: Run, flood: Flood, gateway: subprocess.Popen[bytes]) -> None:
    """Submits as much as possible, and looks how the gateway grows."""
    before = peak = memory_of(gateway)
    ends_s = time.monotonic() + FLOOD_S * run.scale

    def over() -> bool:
        nonlocal peak
        peak = max(peak, memory_of(gateway))
        return time.monotonic() > ends_s

    await flood.pour(SUBMITTERS, over)
    run.result.figures["memory of the gateway: before, peak"] = (
        f"{before / 1e6:.0f} MB, {peak / 1e6:.0f} MB"
    )
    run.result.expect(
        peak - before <= GROWTH, "narrow", f"the gateway grew by {(peak - before) / 1e6:.0f} MB"
    )


def _judge(run: Run, flood: Flood, lag: LoopLag) -> None:
    """What submits were answered, and how soon."""
    result, answers = run.result, flood.answers
    result.operations |= {f"submit answered {code}": count for code, count in answers.items()}
    result.figures[f"slowest answer, at a deadline of {DEADLINE_S:g} s"] = (
        f"{flood.slowest_s:.2f} s"
    )
    allowed = {"OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
    result.expect(answers.keys() <= allowed, "narrow", f"submits were answered {dict(answers)}")
    result.expect(
        flood.slowest_s <= DEADLINE_S * 1.5 + 2 * lag.worst_s,
        "narrow",
        f"a submit with a deadline of {DEADLINE_S} s was answered after {flood.slowest_s:.2f} s",
    )
