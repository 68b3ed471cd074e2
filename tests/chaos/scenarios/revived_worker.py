"""A worker that was suspended for longer than its leases last, and goes on as if nothing was."""

from __future__ import annotations

import asyncio
import signal
import statistics
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final

from tests.chaos.checks import (
    expect_newest_outcomes,
    expect_ordered_output,
    expect_rising_tokens,
    have_begun,
    starts_of,
)
from tests.chaos.scenario import Scenario
from tests.chaos.waiting import PATIENCE_S, when
from tests.chaos.worlds.loop_lag import LoopLag
from tests.chaos.worlds.stage import Stage, name_of

if TYPE_CHECKING:
    import subprocess

    from penstock.client import AsyncClient
    from tests.chaos.history.journal import Line
    from tests.chaos.scenario import Run

__all__ = ["RevivedWorker"]

LEASE_S: Final = 1.0
LEASES: Final = 3
ROUNDS: Final = 4
JOBS_OF_A_TYPE: Final = 4
TYPES: Final = ("hold", "hold.thread", "hold.process", "talk")
#: Some of them end while their worker is suspended, so that it writes their outcome at once (s).
DURATIONS_S: Final = (1.0, 8.0)
#: Handlers of a revived worker have stopped after it (s).
STOPPED_IN_S: Final = 1.0
#: One that went on for longer, to its own end, was never told (s).
NEVER_TOLD_S: Final = 2.5


class RevivedWorker(Scenario):
    """A worker at work is suspended (SIGSTOP) for three leases, then goes on (SIGCONT)."""

    name: ClassVar = "revived_worker"
    rows: ClassVar = (3,)
    expects: ClassVar = (
        "no write of it is accepted, it steals no lease back, and its handlers are told to stop"
    )
    seconds: ClassVar = 50.0

    async def run(self, run: Run) -> None:
        """See `Scenario`."""
        slots = 2 * len(TYPES) * JOBS_OF_A_TYPE
        async with (
            Stage(run, lease_s=LEASE_S, slots=slots, max_crashes=100) as stage,
            LoopLag() as lag,
        ):
            await stage.start_gateway()
            workers = [stage.start_worker() for _ in range(2)]
            async with stage.connect() as client:
                await stage.registered(client)
                for number in range(run.scaled(ROUNDS)):
                    await _Round(run, stage, client, workers).go()
                    run.say(f"revived {number + 1} times")
                stats = await client.queue_stats()
            run.result.figures["writes refused"] = str(stats.stale_writes)
            run.result.expect(
                stats.stale_writes,
                "revived",
                "no write was refused, so nothing was tried: the run proves nothing",
            )
            expect_rising_tokens(stage)
            _judge_stops(run, stage.lines(), lag)


class _Round:
    """Jobs, and one suspension of the worker that has most of them."""

    def __init__(
        self,
        run: Run,
        stage: Stage,
        client: AsyncClient,
        workers: list[subprocess.Popen[bytes]],
    ) -> None:
        self._run = run
        self._stage = stage
        self._client = client
        self._workers = workers
        self._jobs: list[str] = []

    async def go(self) -> None:
        """Does it, and looks at what came of each job."""
        for type_ in TYPES * JOBS_OF_A_TYPE:
            seconds = self._run.chance.uniform(*DURATIONS_S)
            self._jobs.append((await self._client.submit(type_, seconds)).job_id)
        self._run.result.jobs += len(self._jobs)
        await when(partial(have_begun, self._stage, self._jobs), "all jobs have begun")
        held = Counter(lines[-1].by for lines in self._starts().values())
        victim = max(self._workers, key=lambda worker: held[name_of(worker)])
        await self._suspend(victim)
        ended = await asyncio.gather(
            *(self._client.wait(job_id, timeout=PATIENCE_S) for job_id in self._jobs)
        )
        expect_newest_outcomes(self._stage, ended)
        for job in ended:
            if job.type == "talk":
                await expect_ordered_output(self._stage, self._client, job.job_id)

    async def _suspend(self, victim: subprocess.Popen[bytes]) -> None:
        tally = self._run.result.tally("a worker is suspended for three leases", RevivedWorker.rows)
        tally.strikes += 1
        self._stage.journal.write("strike", fault=name_of(victim))
        victim.send_signal(signal.SIGSTOP)
        await asyncio.sleep(LEASES * LEASE_S)
        victim.send_signal(signal.SIGCONT)
        self._stage.journal.write("heal", fault=name_of(victim))

    def _starts(self) -> dict[str, list[Line]]:
        return starts_of(self._stage.lines(), self._jobs)


def _judge_stops(run: Run, lines: list[Line], lag: LoopLag) -> None:
    """How soon after their worker was revived the handlers of lost attempts have ended."""
    ends = {(line["job"], line["token"]): line for line in lines if line.kind == "end"}
    newest = {line["job"]: line["token"] for line in lines if line.kind == "start"}
    running: list[tuple[str, int]] = []
    stopped_s, told = [], 0
    for line in lines:
        if line.kind == "start":
            running.append((line["job"], line["token"]))
        if line.kind != "heal":
            continue
        lost = [(job, token) for job, token in running if token < newest[job]]
        for job, token in lost:
            end = ends.get((job, token))
            run.result.expect(
                end, "revived", f"the handler of job {job} under token {token} was never stopped"
            )
            if end is not None and end.at > line.at:
                stopped_s.append((end.at - line.at) / 1e9)
                told += end["how"] == "stopped"
                run.result.expect(
                    end["how"] == "stopped" or stopped_s[-1] <= NEVER_TOLD_S + 2 * lag.worst_s,
                    "revived",
                    f"the handler of job {job} under token {token} was never told to stop: it "
                    f"ended {stopped_s[-1]:.2f} s after its worker was revived",
                )
        running.clear()
    if not stopped_s:
        run.result.expect(told, "revived", "no handler was stopped: the run proves nothing")
        return
    run.result.figures["handlers of a revived worker ended after"] = (
        f"median {statistics.median(stopped_s) * 1000:.0f} ms, worst {max(stopped_s) * 1000:.0f} ms"
        f" ({len(stopped_s)} handlers, {told} of them stopped, the others at their end)"
    )
    run.result.aim(
        max(stopped_s) <= STOPPED_IN_S + lag.worst_s,
        f"a handler went on for {max(stopped_s):.2f} s after its worker was revived",
    )
