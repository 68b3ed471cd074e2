"""Processes of one's own, kept running, with their output marked by who said it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from typing import TYPE_CHECKING, Final

from penstock.runtime import Backoff, Component

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["ChildProcess", "penstock_command"]

_CHUNK: Final = 65536
_LAST_WORDS_S: Final = 1.0
_RESTARTS: Final = Backoff(initial_s=0.5, max_s=10.0)
_HOPELESS: Final = frozenset({2, 126, 127})
"""Exit codes that a second start would only repeat: a wrong command line, or no such program."""


class ChildProcess(Component):
    """A process that is started again when it dies, and stopped by SIGTERM.

    Its stdin is a pipe that nobody writes to: commands of ours that run with
    ``--stop-with-parent`` see it close when this process is gone, and stop.

    Args:
        name: What its output is marked with.
        command: The program and its arguments.
        environment: Variables beside those of this process.
        on_error_line: Called with each line of its stderr.
        on_output_line: Called with each line of its stdout.
        drain_s: How long it may take to stop, in seconds, before it is killed.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        on_error_line: Callable[[str], None],
        on_output_line: Callable[[str], None],
        drain_s: float,
    ) -> None:
        # That it was cut short is told as its other ends are, in a line marked with its name.
        super().__init__(name=name, stop_grace_s=drain_s, expendable=True)
        self.command: Sequence[str] = list(command)
        """What the next start runs."""
        self._environment = {**os.environ, **environment, "PYTHONUNBUFFERED": "1"}
        self._on_error_line = on_error_line
        self._on_output_line = on_output_line
        self.pid: int | None = None
        self.gave_up: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Has the exit code of a process that would not come up, however often it were tried."""

    async def run(self) -> None:
        """Run the process, again and again, until it is to stop, or there is no use."""
        in_a_row = 0
        while not self.stopping.is_set():
            began = time.monotonic()
            code = await self._run_once()
            if self.stopping.is_set():
                return
            if code in _HOPELESS:
                self.gave_up.set_result(code)
                return
            steady = time.monotonic() - began > _RESTARTS.max_s
            in_a_row = 1 if steady else in_a_row + 1
            delay_s = _RESTARTS.delay_s(in_a_row)
            self._on_error_line(f"ended with exit code {code}: again in {delay_s:.1f} s")
            await self.pause(delay_s)

    async def _run_once(self) -> int | None:
        """Run the process to its end; returns its exit code."""
        process = await asyncio.create_subprocess_exec(
            *self.command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._environment,
            start_new_session=True,  # Ctrl-C is for this process, which then stops them in order.
        )
        self.pid = process.pid
        try:
            await self._follow(process)
        finally:
            self.pid = None
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
                self._on_error_line("killed, as it had not stopped yet")
        return process.returncode

    async def _follow(self, process: Process) -> None:
        """Pass its output on until it has ended; end it once this component is to stop."""
        ending = asyncio.create_task(self._terminate_when_asked(process))
        outputs = [
            asyncio.create_task(_lines(process.stdout, self._on_output_line)),
            asyncio.create_task(_lines(process.stderr, self._on_error_line)),
        ]
        try:
            await process.wait()
            # Not for longer: a child of that process may live on, and keep the pipes open.
            await asyncio.wait(outputs, timeout=_LAST_WORDS_S)
        finally:
            for task in (ending, *outputs):
                task.cancel()
            await asyncio.gather(ending, *outputs, return_exceptions=True)

    async def _terminate_when_asked(self, process: Process) -> None:
        await self.stopping.wait()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()


def penstock_command(*arguments: str) -> list[str]:
    """Return the command that runs ``penstock`` in this very environment."""
    return [sys.executable, "-m", "penstock.cli", *arguments, "--stop-with-parent"]


async def _lines(stream: asyncio.StreamReader | None, write: Callable[[str], None]) -> None:
    if stream is None:
        return
    rest = b""
    while data := await stream.read(_CHUNK):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            write(line.decode(errors="replace").rstrip("\r"))
    if rest:
        write(rest.decode(errors="replace"))
