"""What the worker's tests have in common: somebody who submits, and workers to run it."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from penstock.broker import Broker, Content, Event, Job, JobState, NewJob, QueueStats
from penstock.worker import Worker, WorkerService, WorkerSettings
from tests.support.waiting import eventually

__all__ = ["APPS", "ROOT", "Rig", "WorkerProcess"]

ROOT: Final = Path(__file__).resolve().parents[2]
APPS: Final = "tests.worker.apps"


@dataclass
class Rig:
    """A broker, as a gateway has one, and short ways to use it.

    Attributes:
        broker: to submit and look with.
        url: of the server.
        log: where worker processes log to.
    """

    broker: Broker
    url: str
    log: Path
    _numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def submit(self, job_type: str, payload: object = None, **options: Any) -> str:  # noqa: ANN401 - fields of NewJob.
        """Submits a job, with raw bytes or any JSON as its payload; returns its id."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        options.setdefault("queue", "default")
        receipt = await self.broker.jobs.submit(
            NewJob(
                type=job_type,
                request_id=f"request-{next(self._numbers)}",
                payload=Content(data),
                **options,
            )
        )
        return receipt.job_id

    async def job(self, job_id: str) -> Job:
        return await self.broker.jobs.get(job_id, result=True)

    async def until(self, job_id: str, state: JobState, within_s: float = 15) -> Job:
        """Waits for a job to be in a state."""

        async def there() -> Job | None:
            job = await self.job(job_id)
            if job.state.terminal and job.state is not state:
                raise AssertionError(f"the job has ended: {job}")
            return job if job.state is state else None

        job = await eventually(there, f"the job is {state.name}", within_s=within_s)
        assert job is not None
        return job

    async def ended(self, job_id: str, within_s: float = 15) -> Job:
        """Waits for a job to end, in whatever state."""

        async def there() -> Job | None:
            job = await self.job(job_id)
            return job if job.state.terminal else None

        job = await eventually(there, "the job has ended", within_s=within_s)
        assert job is not None
        return job

    async def progressed(self, job_id: str, at_least: float = 0, within_s: float = 15) -> Job:
        """Waits for a running job to have reported progress."""

        async def there() -> Job | None:
            job = await self.job(job_id)
            assert not job.state.terminal, job
            return job if job.progress and job.progress.current >= at_least else None

        job = await eventually(there, "the handler has reported progress", within_s=within_s)
        assert job is not None
        return job

    async def result(self, job_id: str, within_s: float = 15) -> Any:  # noqa: ANN401 - any JSON.
        """Waits for a job's success; its result, decoded."""
        job = await self.until(job_id, JobState.SUCCEEDED, within_s)
        assert job.result is not None
        if job.result.content_type == "application/octet-stream":
            return job.result.data
        return json.loads(job.result.data)

    async def events(self, job_id: str) -> tuple[Event, ...]:
        events: tuple[Event, ...] = ()
        while True:
            after = events[-1].last_sequence if events else 0
            page = await self.broker.jobs.events(job_id, after)
            events += page.events
            if not page.events or page.events[-1].last_sequence == page.last_sequence:
                return events

    async def stats(self, queue: str = "default") -> QueueStats:
        return await self.broker.queues.stats(queue)

    @contextlib.asynccontextmanager
    async def working(self, app: Worker, **settings: object) -> AsyncIterator[WorkerService]:
        """A worker in this process."""
        flags = {"redis_url": self.url, "drain_grace_s": 5, "stop_grace_s": 0.2, **settings}
        async with WorkerService(app, WorkerSettings.load(**flags)) as service:
            yield service

    @contextlib.asynccontextmanager
    async def process(
        self, app: str, module: str = "penstock.worker", **settings: object
    ) -> AsyncIterator["WorkerProcess"]:
        """A worker as a process of its own, killed at the end if it is still there."""
        variables = {f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
        known = {worker.worker_id for worker in await self.broker.registry.workers()}
        with self.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                module,
                f"{APPS}:{app}",
                cwd=ROOT,
                env={
                    **os.environ,
                    "PENSTOCK_REDIS_URL": self.url,
                    "PENSTOCK_LOG_FORMAT": "json",
                    **variables,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        worker = WorkerProcess(process)
        try:

            async def registered() -> bool:
                workers = await self.broker.registry.workers()
                assert process.returncode is None, self.log.read_text()
                return any(each.worker_id not in known for each in workers)

            await eventually(registered, "the worker process is there", within_s=20)
            yield worker
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


@dataclass
class WorkerProcess:
    """A worker process, to be ended in one way or another."""

    process: asyncio.subprocess.Process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exited(self, within_s: float = 20) -> int:
        """Waits for its end; its exit status."""
        return await asyncio.wait_for(self.process.wait(), within_s)
