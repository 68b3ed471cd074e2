"""The demonstration itself: submit, watch, cancel one job, kill the worker of another."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from examples.demo.plan import COMPARE, FINGERPRINT, PROSE, REFUSED, Planned
from examples.demo.stack import QUEUE, WORKERS, DemoStack
from examples.demo.summary import summary
from examples.harness.errors import StackError
from penstock.cli.follow import Narrator
from penstock.client import (
    AsyncClient,
    AsyncJobHandle,
    ChunkEvent,
    Event,
    InvalidRequest,
    Job,
    ProgressEvent,
    QueueStats,
    StateEvent,
    Violation,
    WorkerInfo,
)

if TYPE_CHECKING:
    from penstock.cli.board import Board

__all__ = ["Scenario", "Seen"]

_WATCH_S: Final = 60.0
_HALF: Final = 0.5


@dataclass(slots=True)
class Seen:
    """What happened.

    Attributes:
        violations: With which the bad payload was refused; None if it was not.
        jobs: As they ended, by their names in the plan.
        text: The chunks that the last attempt of the prose job sent.
        text_parts: How many they were.
        killed: The worker that was killed; None if none was.
        stats: The counts of the queue at the end.
    """

    violations: tuple[Violation, ...] | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    text: str = ""
    text_parts: int = 0
    killed: WorkerInfo | None = None
    stats: QueueStats | None = None


class Scenario:
    """One run of the demonstration.

    Args:
        stack: The processes, which run.
        board: Where it is shown.
        plan: What is submitted, by name.
    """

    def __init__(self, stack: DemoStack, board: Board, plan: dict[str, Planned]) -> None:
        self._stack = stack
        self._board = board
        self._narrator = Narrator(board)
        self._plan = plan
        self._names: dict[str, str] = {}
        self._cancelled = False
        self.seen = Seen()

    async def run(self) -> Seen:
        """Play it, from the first submit to the last event.

        Raises:
            StackError: It did not come to its end in time.
        """
        async with AsyncClient(self._stack.address) as client:
            await self._stack.workers_are_up(QUEUE, WORKERS)
            await self._submit_refused(client)
            await self._submit_all(client)
            try:
                async with asyncio.timeout(_WATCH_S):
                    await self._watch(client)
            except TimeoutError:
                raise StackError(f"not all jobs ended within {_WATCH_S:g} s") from None
            for job_id, name in self._names.items():
                self.seen.jobs[name] = await client.status(job_id, include_result=True)
            self.seen.stats = await client.queue_stats(QUEUE)
        return self.seen

    async def _submit_refused(self, client: AsyncClient) -> None:
        """Submit a payload that does not fit the type's schema, which must not be taken."""
        try:
            await client.submit("sources.index", REFUSED, queue=QUEUE)
        except InvalidRequest as refusal:
            self.seen.violations = refusal.violations
            self._board.say("[bold]refused[/]   index with a bad payload, INVALID_ARGUMENT:")
            for violation in refusal.violations:
                self._board.say(f"            [dim]{violation.field}: {violation.description}[/]")

    async def _submit_all(self, client: AsyncClient) -> None:
        outcomes = await client.submit_many([planned.job for planned in self._plan.values()])
        for name, outcome in zip(self._plan, outcomes, strict=True):
            if not isinstance(outcome, AsyncJobHandle):
                raise StackError(f"{name} was not accepted: {outcome}")
            self._names[outcome.job_id] = name
            self._board.add(outcome.job_id, self._plan[name].label)

    async def _watch(self, client: AsyncClient) -> None:
        async for event in client.watch_many(list(self._names)):
            self._show(event)
            match self._names[event.job_id], event:
                case name, ProgressEvent() if name == COMPARE and not self._cancelled:
                    self._cancelled = True
                    await client.cancel(event.job_id, "seen enough of it")
                case name, ProgressEvent() if name == FINGERPRINT and self._is_time_to_kill(event):
                    await self._kill_worker_of(client, event)
                case name, ChunkEvent() | StateEvent() if name == PROSE:
                    self._collect(event)

    def _show(self, event: Event) -> None:
        if isinstance(event, StateEvent) and event.job is not None:
            self._board.done(event.job_id, event.state.value, summary(event.job))
        else:
            self._narrator.tell(event)

    def _is_time_to_kill(self, event: ProgressEvent) -> bool:
        half_way = (event.progress.fraction or 0) >= _HALF
        return half_way and self._cancelled and self.seen.killed is None

    async def _kill_worker_of(self, client: AsyncClient, event: ProgressEvent) -> None:
        """Kill the process that runs the job, without a warning to anybody."""
        job = await client.status(event.job_id)
        for worker in await client.workers(QUEUE):
            if worker.worker_id == job.worker_id and worker.pid in self._stack.worker_pids:
                os.kill(worker.pid, signal.SIGKILL)
                self.seen.killed = worker
                self._board.say(
                    f"[bold red]SIGKILL[/]   the worker of {self._plan[FINGERPRINT].label} "
                    f"(pid {worker.pid}) at {event.progress.fraction:.0%}: the other one goes on "
                    "when the lease is over"
                )

    def _collect(self, event: Event) -> None:
        """Keep the output of the last attempt: each begins anew."""
        if isinstance(event, StateEvent) and event.state == "RUNNING":
            self.seen.text, self.seen.text_parts = "", 0
        if isinstance(event, ChunkEvent):
            self.seen.text += event.text
            self.seen.text_parts += 1
