"""What ``penstock dev`` runs, and in which order: server, gateway, workers; and back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final

from penstock.cli.children import ChildProcess, penstock_command
from penstock.cli.dev_checks import check_port, own_server
from penstock.cli.dev_output import DevOutput, Whereabouts
from penstock.cli.exits import ExitCode
from penstock.cli.faults import CommandError
from penstock.cli.suggestion import first_submit
from penstock.cli.worker import checked_app
from penstock.client import AsyncClient, StatusError
from penstock.runtime import (
    Periodic,
    RedisSettings,
    configure_logging,
    default_data_dir,
    run,
    stop_signals,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.cli.dev import DevPlan
    from penstock.runtime.embedded import EmbeddedServer

__all__ = ["run_dev"]

_START_S: Final = 30.0
_GATEWAY_DRAIN_S: Final = 15.0
_WORKER_DRAIN_S: Final = 35.0
_CHECK_SERVER_S: Final = 0.5
_POLL_S: Final = 0.1


def run_dev(plan: DevPlan) -> None:
    """Run all of it until SIGTERM or Ctrl-C.

    Raises:
        CommandError: A process does not come up; its own words were shown.
        RuntimeFault: The settings are wrong, or the embedded server cannot be started.
    """
    settings = RedisSettings.load(
        redis_url=plan.redis_url,
        data_dir=plan.data_dir,
        log_level=plan.log_level,
        log_format=plan.log_format,
    )
    output = DevOutput()
    configure_logging("warning", output.log_format(settings.log_format))
    if plan.workers:  # Before anything is started, so that its fault is told once, and alone.
        app = checked_app(plan.app)
        plan = dataclasses.replace(plan, first_submit=first_submit(app, plan.queues))
    folder = None if settings.redis_url else settings.data_dir or default_data_dir()
    check_port(plan.listen, folder)
    run(lambda: _run(plan, settings, folder, output), event_loop="asyncio")


async def _run(
    plan: DevPlan, settings: RedisSettings, folder: Path | None, output: DevOutput
) -> None:
    async with (
        stop_signals() as stopping,
        contextlib.AsyncExitStack() as last,
        contextlib.AsyncExitStack() as stack,
    ):
        redis_url = settings.redis_url.get_secret_value() if settings.redis_url else ""
        if folder is not None:
            server = await stack.enter_async_context(own_server(folder))
            await stack.enter_async_context(_ServerKeeper(server, output))
            redis_url = server.url
        last.callback(output.stopped)  # What was never started does not stop.
        environment = {
            "PENSTOCK_LOG_LEVEL": settings.log_level,
            "PENSTOCK_LOG_FORMAT": output.log_format(settings.log_format),
            "PENSTOCK_REDIS_URL": redis_url,  # Not an argument: other users see those.
        }
        starter = _Starter(environment, output, stack)
        gateway, address = await starter.gateway(plan.listen)
        workers = [await starter.worker(number, plan) for number in range(1, plan.workers + 1)]
        # Before that, a submit would be told that its job type is unknown.
        ready = asyncio.create_task(_are_known(address, workers))
        stack.push_async_callback(_cancelled, ready)
        await _first_of(stopping, [gateway, *workers], ready)
        if not stopping.is_set():
            pids = {process.name: process.pid for process in (gateway, *workers)}
            output.ready(plan, Whereabouts(address, redis_url, folder, pids))
            await _first_of(stopping, [gateway, *workers])
        output.draining()


class _ServerKeeper(Periodic):
    """Starts the embedded server again should it die: its data is in the append-only file."""

    def __init__(self, server: EmbeddedServer, output: DevOutput) -> None:
        super().__init__(interval_s=_CHECK_SERVER_S)
        self._server = server
        self._output = output

    async def tick(self) -> None:
        """Look after it once."""
        if self._server.wait(0) is not None:
            self._output.line("valkey", "ended by itself: starting it again, on the same data")
            await asyncio.to_thread(self._server.start)


class _Starter:
    """Starts processes that share an environment, and has the stack stop them."""

    def __init__(
        self,
        environment: dict[str, str],
        output: DevOutput,
        stack: contextlib.AsyncExitStack,
    ) -> None:
        self._environment = environment
        self._output = output
        self._stack = stack

    async def gateway(self, listen: str | None) -> tuple[ChildProcess, str]:
        """Start the gateway; returns it, and its address once it serves.

        Raises:
            CommandError: It does not come up.
        """
        address: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def on_output(line: str) -> None:
            if not address.done():  # Its first line: see `penstock server --json`.
                address.set_result(json.loads(line)["address"])

        process = await self._start(
            "gateway", _gateway_command(listen), on_output, _GATEWAY_DRAIN_S
        )
        up_or_down: list[asyncio.Future[Any]] = [address, process.gave_up]
        await asyncio.wait(up_or_down, timeout=_START_S, return_when=asyncio.FIRST_COMPLETED)
        if not address.done():
            address.cancel()
            raise _not_up([process])
        # Started again, it is to be found where it was, also if the port was its own choice.
        process.command = _gateway_command(address.result())
        return process, address.result()

    async def worker(self, number: int, plan: DevPlan) -> ChildProcess:
        """Start a worker process, which is ready when it is."""
        name = f"worker-{number}"
        command = penstock_command("worker", plan.app, "--tracebacks", *plan.worker_options)
        on_output = self._marked(name)
        return await self._start(name, command, on_output, _WORKER_DRAIN_S)

    async def _start(
        self,
        name: str,
        command: Sequence[str],
        on_output_line: Callable[[str], None],
        drain_s: float,
    ) -> ChildProcess:
        process = ChildProcess(
            name,
            command,
            environment=self._environment,
            on_error_line=self._marked(name),
            on_output_line=on_output_line,
            drain_s=drain_s,
        )
        return await self._stack.enter_async_context(process)

    def _marked(self, name: str) -> Callable[[str], None]:
        return lambda line: self._output.line(name, line)


def _gateway_command(listen: str | None) -> list[str]:
    return penstock_command("server", "--json", *(["--listen", listen] if listen else []))


async def _are_known(address: str, workers: Sequence[ChildProcess]) -> None:
    """Wait until the gateway knows the worker processes, or until it should have."""
    with contextlib.suppress(TimeoutError, StatusError):
        async with asyncio.timeout(_START_S), AsyncClient(address) as client:
            unknown = {worker.pid for worker in workers}
            while unknown:
                await asyncio.sleep(_POLL_S)
                known = {worker.pid for worker in await client.workers()}
                unknown = {worker.pid for worker in workers} - known  # Anew: some may restart.


async def _first_of(
    stopping: asyncio.Event, processes: Sequence[ChildProcess], *others: asyncio.Future[Any]
) -> None:
    """Wait for the signal to stop, or for any of the others.

    Raises:
        CommandError: A process gave up before that.
    """
    asked = asyncio.create_task(stopping.wait())
    gave_up = [process.gave_up for process in processes]
    futures: list[asyncio.Future[Any]] = [asked, *gave_up, *others]
    try:
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancelled(asked)
    if not stopping.is_set() and any(future.done() for future in gave_up):
        raise _not_up([process for process in processes if process.gave_up.done()])


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


def _not_up(processes: Sequence[ChildProcess]) -> CommandError:
    name = processes[0].name
    return CommandError(
        f"{name} does not come up",
        f"its own words are above, marked {name}",
        ExitCode.FAILED,
    )
