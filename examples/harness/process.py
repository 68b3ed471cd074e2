"""A process of a run: started with a log, stopped or killed by its id, never left behind."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from examples.harness.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


__all__ = ["Process"]

_STOP_S: Final = 15.0


class Process:
    """``python -m module arguments...``, in a session of its own.

    Its standard input is a pipe that closes with this process; commands of ``penstock`` are told to
    stop then (``--stop-with-parent``).

    Args:
        name: For messages, and of the log.
        command: Module and arguments.
        environment: Of the process, whole.
        folder: Where it runs.
        log: File for what it says, and for its output if nobody reads that.
        read_output: Whether `first_line` will be asked for.

    Attributes:
        name: As given.
        log: As given.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        read_output: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if read_output else output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the parent, which then stops its children.
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def first_line(self, within_s: float) -> str:
        """What it prints first, once it is ready.

        Raises:
            StackError: It ended, or said nothing in time.
        """
        assert self._process.stdout is not None  # noqa: S101 - it was started with a pipe.
        ready, _, _ = select.select([self._process.stdout], [], [], within_s)
        line = self._process.stdout.readline() if ready else b""
        if not line:
            raise StackError(f"the {self.name} does not come up: see {self.log}")
        return line.decode()

    def exit_code(self, within_s: float) -> int:
        """Waits until it has ended by itself; what it returned.

        Raises:
            StackError: It did not end in time.
        """
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            raise StackError(f"the {self.name} does not end: see {self.log}") from None

    def kill(self) -> None:
        """End it without a warning, it alone. Returns when it is gone."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """Ask it to stop; after 15 s, or if it left children behind, without asking."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # Its session is a group of its own.
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
