"""Links to the server that work, but badly: far away, or narrow."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import StatusError
from tests.chaos.checks import commands_of, expect_undisturbed, memory_of
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.load.flood import Flood
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    import subprocess

    from penstock.client import AsyncClient
    from tests.chaos.scenario import Run

__all__ = ["NarrowLink", "SlowLink"]

LEASE_S: Final = 2.0
JOBS: Final = 12
#: One way, for workers and for gateways (s).
WORKER_DELAY_S: Final = 0.2
GATEWAY_DELAY_S: Final = 0.5
#: Of jobs, and of the trouble (s).
HOLD_S: Final = 6.0
SHORT_S: Final = 0.4

NARROW_BYTES_PER_S: Final = 32_000
SUBMITTERS: Final = 200
FLOOD_S: Final = 12.0
DEADLINE_S: Final = 3.0
PAYLOAD: Final = 100_000
#: What a gateway may take more of memory meanwhile.
GROWTH: Final = 250_000_000


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
            await when(lambda: len(stage.lines()) >= JOBS, "the jobs run")
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
