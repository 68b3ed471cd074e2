"""Links to the server that work, but badly: far away, or narrow."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from penstock.client import AsyncClient, JobState, StatusError
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.scenario import Scenario
from tests.chaos.worlds.stage import PATIENCE_S, Pulse, Stage, when

if TYPE_CHECKING:
    import subprocess

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
FLOOD: Final = 200
FLOOD_S: Final = 12.0
DEADLINE_S: Final = 3.0
PAYLOAD: Final = b"x" * 100_000
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
        result = run.result
        async with (
            Stage(run, lease_s=LEASE_S, slots=20) as stage,
            FaultProxy("127.0.0.1", stage.server.port) as near_worker,
            FaultProxy("127.0.0.1", stage.server.port) as near_gateway,
            Pulse() as pulse,
        ):
            await stage.gateway(redis_url=near_gateway.url)
            stage.worker(redis_url=near_worker.url)
            async with (
                stage.client(timeout_s=PATIENCE_S) as client,
                AsyncClient(f"127.0.0.1:{stage.ports[0]}", retry_for=0) as blunt,
            ):
                await stage.registered(client)
                jobs = [(await client.submit("hold", HOLD_S)).job_id for _ in range(JOBS)]
                await when(lambda: len(stage.lines()) >= JOBS, "the jobs run")
                usual = await _commands(stage, HOLD_S / 2)
                result.tally("the server is far away", (10,)).strikes += 1
                near_worker.delay_s = near_gateway.delay_s = WORKER_DELAY_S
                near_worker.jitter_s = WORKER_DELAY_S / 2
                near_gateway.delay_s = GATEWAY_DELAY_S
                far = await _commands(stage, HOLD_S / 2)
                await _short(run, blunt, jobs[0], pulse)
                began_s = time.monotonic()
                job = await client.status(jobs[0])
                took_s = time.monotonic() - began_s
                ended = await asyncio.gather(
                    *(client.wait(job_id, timeout=PATIENCE_S) for job_id in jobs)
                )
        result.jobs += len(jobs)
        result.figures["commands a second, before and far away"] = f"{usual:.0f}, {far:.0f}"
        result.figures["a status took, far away"] = f"{took_s:.2f} s ({job.state.name})"
        for job in ended:
            result.expect(
                job.state is JobState.SUCCEEDED and job.attempt == 1 and not job.crashes,
                "slow",
                f"job {job.job_id} ended {job.state.name} in attempt {job.attempt}, after "
                f"{job.crashes} crashes",
            )
        result.expect(
            far <= usual * 1.5 + 10,
            "slow",
            f"the server got {far:.0f} commands a second when it was far away, {usual:.0f} before",
        )


async def _commands(stage: Stage, seconds: float) -> float:
    """How many the server runs a second."""

    async def count() -> int:
        stats = await asyncio.to_thread(stage.server.ask, "INFO", "stats")
        return int(stats.split("total_commands_processed:")[1].split()[0])

    before, began_s = await count(), time.monotonic()
    await asyncio.sleep(seconds)
    return (await count() - before) / (time.monotonic() - began_s)


async def _short(run: Run, blunt: AsyncClient, job_id: str, pulse: Pulse) -> None:
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
        told in {"UNAVAILABLE", "DEADLINE_EXCEEDED"} and took_s < SHORT_S * 1.5 + pulse.worst_s,
        "slow",
        f"a call with a deadline of {SHORT_S} s was answered {told} after {took_s:.2f} s",
    )


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
        result = run.result
        async with (
            Stage(run) as stage,
            FaultProxy("127.0.0.1", stage.server.port) as link,
            Pulse() as pulse,
        ):
            gateway = await stage.gateway(redis_url=link.url)
            stage.worker()
            async with (
                stage.client(timeout_s=PATIENCE_S) as client,
                AsyncClient(f"127.0.0.1:{stage.ports[0]}", retry_for=0) as blunt,
            ):
                await stage.registered(client)
                await client.wait((await client.submit("hold", 0.0)).job_id, timeout=PATIENCE_S)
                before = _memory(gateway)
                tally = result.tally("a link is narrow, and many submits are large", (12,))
                tally.strikes += 1
                link.bytes_per_s = NARROW_BYTES_PER_S
                told, slowest_s, peak = await _flood(run, blunt, gateway)
                link.restore()
                began_s = time.monotonic()
                job = await client.submit("hold", 0.0)
                await client.wait(job.job_id, timeout=PATIENCE_S)
                tally.recovery_ms.append((time.monotonic() - began_s) * 1000)
        result.operations |= {f"submit answered {code}": count for code, count in told.items()}
        result.figures["slowest answer, at a deadline of 3 s"] = f"{slowest_s:.2f} s"
        result.figures["memory of the gateway: before, peak"] = (
            f"{before / 1e6:.0f} MB, {peak / 1e6:.0f} MB"
        )
        allowed = {"OK", "RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
        result.expect(told.keys() <= allowed, "narrow", f"submits were answered {dict(told)}")
        result.expect(
            slowest_s <= DEADLINE_S * 1.5 + 2 * pulse.worst_s,
            "narrow",
            f"a submit with a deadline of {DEADLINE_S} s was answered after {slowest_s:.2f} s",
        )
        result.expect(
            peak - before <= GROWTH, "narrow", f"the gateway grew by {(peak - before) / 1e6:.0f} MB"
        )


async def _flood(
    run: Run, blunt: AsyncClient, gateway: subprocess.Popen[bytes]
) -> tuple[Counter[str], float, int]:
    """Submits as much as possible. Returns what was answered, the slowest (s), memory (bytes)."""
    told: Counter[str] = Counter()
    slowest_s, peak = 0.0, 0
    ends_s = time.monotonic() + FLOOD_S * run.scale

    async def submit() -> None:
        nonlocal slowest_s, peak
        while time.monotonic() < ends_s:
            began_s = time.monotonic()
            try:
                await blunt.submit(
                    "bulk", PAYLOAD, queue="bulk", allow_unregistered=True, rpc_timeout=DEADLINE_S
                )
            except StatusError as error:
                told[error.code] += 1
            else:
                told["OK"] += 1
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            peak = max(peak, _memory(gateway))

    async with asyncio.TaskGroup() as group:
        for _ in range(FLOOD):
            group.create_task(submit())
    return told, slowest_s, peak


def _memory(process: subprocess.Popen[bytes]) -> int:
    """Resident bytes."""
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) * 1024
