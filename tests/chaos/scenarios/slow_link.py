"""A link to the server that works, but over a long way."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import StatusError
from tests.chaos.checks import commands_of, expect_undisturbed, have_begun
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["SlowLink"]

LEASE_S: Final = 2.0
JOBS: Final = 12
#: One way, for workers and for gateways (s).
WORKER_DELAY_S: Final = 0.2
GATEWAY_DELAY_S: Final = 0.5
#: Of jobs, and of the trouble (s).
HOLD_S: Final = 6.0
SHORT_S: Final = 0.4


class SlowLink(Scenario):
    """The server is 0.4 to 0.6 s away from a worker, and 1 s from a gateway, there and back."""

    name: ClassVar = "slow_link"
    rows: ClassVar = (10,)
    expects: ClassVar = (
        "leases are kept, deadlines are honoured, calls with time enough succeed, and the server "
        "gets no more commands than before"
    )
    seconds: ClassVar = 30.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with AsyncExitStack() as exits:
            stage = await exits.enter_async_context(Stage(run, lease_s=LEASE_S, slots=20))
            worker_link, gateway_link = [
                await exits.enter_async_context(FaultProxy("127.0.0.1", stage.server.port))
                for _ in range(2)
            ]
            lag = await exits.enter_async_context(LoopLag())
            await stage.start_gateway(redis_url=gateway_link.url)
            stage.start_worker(redis_url=worker_link.url)
            client = await exits.enter_async_context(stage.connect())
            blunt = await exits.enter_async_context(stage.connect(retry_for=0))
            await stage.registered(client)
            jobs = [(await client.submit("hold", HOLD_S)).job_id for _ in range(JOBS)]
            await when(partial(have_begun, stage, jobs), "the jobs run")
            usual = await _commands(stage, HOLD_S / 2)
            run.result.tally("the server is far away", SlowLink.rows).strikes += 1
            worker_link.delay_s, worker_link.jitter_s = WORKER_DELAY_S, WORKER_DELAY_S / 2
            gateway_link.delay_s = GATEWAY_DELAY_S
            far = await _commands(stage, HOLD_S / 2)
            await _short(run, blunt, jobs[0], lag)
            await _long(run, client, jobs[0])
            ended = await asyncio.gather(
                *(client.wait(job_id, timeout=PATIENCE_S) for job_id in jobs)
            )
        run.result.jobs += len(jobs)
        run.result.figures["commands a second, before and far away"] = f"{usual:.0f}, {far:.0f}"
        expect_undisturbed(run.result, ended, "slow", "beside a slow link")
        run.result.expect(
            far <= usual * 1.5 + 10,
            "slow",
            f"the server got {far:.0f} commands a second when it was far away, {usual:.0f} before",
        )


async def _commands(stage: Stage, seconds: float) -> float:
    """How many the server runs a second."""
    before, began_s = await commands_of(stage), time.monotonic()
    await asyncio.sleep(seconds)
    return (await commands_of(stage) - before) / (time.monotonic() - began_s)


async def _short(run: Run, blunt: AsyncClient, job_id: str, lag: LoopLag) -> None:
    """A call whose deadline is shorter than the way."""
    began_s = time.monotonic()
    try:
        job = await blunt.status(job_id, rpc_timeout=SHORT_S)
    except StatusError as error:
        told = error.code
    else:
        told = job.state.name
    took_s = time.monotonic() - began_s
    run.result.expect(
        told in {"UNAVAILABLE", "DEADLINE_EXCEEDED"} and took_s < SHORT_S * 1.5 + lag.worst_s,
        "slow",
        f"a call with a deadline of {SHORT_S} s was answered {told} after {took_s:.2f} s",
    )


async def _long(run: Run, client: AsyncClient, job_id: str) -> None:
    """A call with time enough."""
    began_s = time.monotonic()
    job = await client.status(job_id)
    took_s = time.monotonic() - began_s
    run.result.figures["a status took, far away"] = f"{took_s:.2f} s ({job.state.name})"
