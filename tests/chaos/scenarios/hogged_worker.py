"""Handlers that keep the event loop, or the whole interpreter, to themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.checks import starts_of
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage

if TYPE_CHECKING:
    from penstock.client import AsyncClient, Job
    from tests.chaos.scenario import Run

__all__ = ["HoggedWorker"]

LEASE_S: Final = 1.0
#: For so long a handler hogs (s).
HOG_S: Final = 3 * LEASE_S


class HoggedWorker(Scenario):
    """A coroutine blocks its event loop, or C code the interpreter's lock, for three leases."""

    name: ClassVar = "hogged_worker"
    rows: ClassVar = (4,)
    expects: ClassVar = (
        "a blocked event loop costs no lease; a blocked interpreter does, the job runs elsewhere, "
        "and the outcome is that of its last attempt"
    )
    seconds: ClassVar = 12.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        async with Stage(run, lease_s=LEASE_S, max_crashes=100) as stage, LoopLag() as lag:
            await stage.start_gateway()
            for _ in range(2):
                stage.start_worker()
            async with stage.connect() as client:
                await stage.registered(client)
                for _ in range(run.scaled(1)):
                    spun = await _run_all(client, ["spin", "hold", "hold.thread"], HOG_S)
                    # A machine on which nothing runs for so long costs leases, too.
                    excused = lag.worst_s > LEASE_S / 4
                    if excused:
                        name = "leases beside a blocked loop"
                        run.result.figures[name] = f"not judged: {lag.worst_s:.2f} s late here"
                    for job in spun:
                        run.result.expect(
                            excused or (job.crashes, job.attempt) == (0, 1),
                            "lease",
                            f"{job.type} lost its lease beside a coroutine that blocks the loop",
                        )
                    (gripped,) = await _run_all(client, ["grip"], HOG_S)
                    tokens = [line["token"] for line in starts_of(stage.lines())[gripped.job_id]]
                    run.result.expect(
                        gripped.result == max(tokens) and len(tokens) > 1 and gripped.crashes,
                        "I5",
                        f"a job that blocked the interpreter under tokens {tokens} ended with the "
                        f"result of {gripped.result}, after {gripped.crashes} crashes",
                    )
                    run.result.jobs += len(spun) + 1
                stats = await client.queue_stats()
        for fault in ("the event loop is blocked", "the interpreter is blocked"):
            run.result.tally(f"{fault} for three leases", self.rows).strikes += 1
        run.result.figures["writes refused"] = str(stats.stale_writes)


async def _run_all(client: AsyncClient, types: list[str], seconds: float) -> list[Job]:
    handles = [await client.submit(type_, seconds) for type_ in types]
    return [await handle.wait(timeout=PATIENCE_S) for handle in handles]
