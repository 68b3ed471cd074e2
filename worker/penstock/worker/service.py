"""A worker process: its parts, in the order in which they need each other."""

from __future__ import annotations

import os
import re
import secrets
import socket
from typing import TYPE_CHECKING, Self

import structlog

from penstock.broker import Broker, Janitor, PolicyReader, Repairer
from penstock.broker.bell_reader import BellReader
from penstock.runtime import ConfigurationError, Group, stop_signals
from penstock.worker.app import Worker, load_app
from penstock.worker.claimer import Claimer
from penstock.worker.connection import Connection
from penstock.worker.drainer import Drainer
from penstock.worker.executors import AsyncExecutor, ThreadExecutor
from penstock.worker.heartbeat import Heartbeat
from penstock.worker.presence import Presence
from penstock.worker.process import ProcessExecutor
from penstock.worker.roster import Roster
from penstock.worker.runner import Runner
from penstock.worker.signals import StopReason
from penstock.worker.supervisor import supervisor_of

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.worker.executors import Executor
    from penstock.worker.handler import Mode
    from penstock.worker.settings import WorkerSettings

__all__ = ["WorkerService", "serve"]

_log = structlog.get_logger(__name__)


class WorkerService:
    """One worker process within the running event loop; an async context manager.

    Args:
        app: Its handlers.
        settings: Its settings.

    Attributes:
        worker_id: Unique to this process.

    Raises:
        ConfigurationError: There is no address of a server.
    """

    def __init__(self, app: Worker, settings: WorkerSettings) -> None:
        url = settings.server_url()
        self.worker_id = _new_worker_id()
        self._app = app
        self._queues = queues = settings.queues or app.queues
        self._roster = roster = Roster(settings.slots or app.slots)
        broker = Broker(url, settings.broker_options("worker"))
        # Payloads come in on it, so that no other answer has to wait behind them.
        claims = Broker(url, settings.broker_options("claims"))
        threads = ThreadExecutor(broker.attempts, settings)
        processes = ProcessExecutor(broker.attempts, settings)
        executors: dict[Mode, Executor] = {
            "async": AsyncExecutor(broker.attempts, settings),
            "thread": threads,
            "process": processes,
        }
        runner = Runner(broker.attempts, roster, app.handlers, executors)
        claimer = Claimer(claims, self.worker_id, queues, settings, roster, runner)
        presence = Presence(broker, self.worker_id, queues, app, roster)
        # What each needs stands before it. They stop in reverse: first nobody claims any more, then
        # the drain goes on while cancels still come in and leases are still renewed.
        self._parts = Group(
            Connection(broker),
            Connection(claims),
            Heartbeat(settings, roster),
            threads,
            processes,
            PolicyReader(broker.policies),
            Janitor(broker.housekeeper),
            Repairer(broker, unasked=False),
            presence,
            self._bell(url, settings, claimer),
            Drainer(settings, roster, presence),
            claimer,
        )

    async def start(self) -> None:
        """Connects, registers the job types, and begins to claim.

        Raises:
            Unavailable: The server cannot be reached.
            UnsafeServer: Jobs must not be entrusted to it.
        """
        await self._parts.start()
        _log.info(
            "worker started",
            worker_id=self.worker_id,
            queues=self._queues,
            slots=self._roster.slots,
            types=sorted(self._app.handlers),
        )

    async def stop(self) -> None:
        """Drains: claims no more, lets jobs finish within the grace, hands back the rest."""
        await self._parts.stop()
        _log.info("worker stopped", worker_id=self.worker_id)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _bell(self, url: str, settings: WorkerSettings, claimer: Claimer) -> BellReader:
        return BellReader(
            url,
            settings.namespace,
            self.worker_id,
            on_jobs=claimer.hint,
            on_cancel=self._cancel,
        )

    def _cancel(self, job_id: str) -> None:
        attempt = self._roster.find(job_id)
        if attempt is not None:
            attempt.stop(StopReason.CANCELLED)


async def serve(app: Worker | str, settings: WorkerSettings) -> None:
    """Runs workers until SIGTERM or SIGINT, then drains; to be called in the main task.

    Args:
        app: The handlers, or where to import them from: ``module:variable``.
        settings: Of the process.

    Raises:
        AppNotFoundError: The path leads to no Worker.
        ConfigurationError: A setting is missing.
        PenstockError: The server cannot be reached, or must not be entrusted with jobs.
    """
    settings.server_url()
    worker = load_app(app) if isinstance(app, str) else app
    if settings.processes == 1:
        async with stop_signals() as stopping, WorkerService(worker, settings):
            await stopping.wait()
        return
    if not isinstance(app, str):
        raise ConfigurationError(
            "several processes import the app by themselves: start them by "
            "`penstock worker module:app --processes N`",
            fields=("processes",),
        )
    async with stop_signals() as stopping, supervisor_of(app, settings):
        await stopping.wait()


def _new_worker_id() -> str:
    """Tells people where it runs; the random part makes it unique across restarts."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:64]
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"
