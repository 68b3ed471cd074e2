"""One process of a world: a gateway, a worker or a client, to be killed, suspended, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Crew", "Member"]

ROOT: Final = Path(__file__).resolve().parents[3]
_POLL_S: Final = 0.02
#: After which a process minds its signals, on however slow a machine (s).
_START_S: Final = 15.0

#: Leads the crew's process group, and ends all of it once nobody holds its stdin any more.
_REAPER: Final = "read -r _; kill -s KILL 0"


class Process(Protocol):
    """A process that was started; as `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its id."""

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""

    def wait(self) -> int:
        """Waits for its end. Returns its exit status."""

    def send_signal(self, sig: int, /) -> None:
        """Sends it a signal, unless it is known to have ended."""


class Crew:
    """All processes of a world, in one group, so that none outlives the harness however it ends."""

    def __init__(self) -> None:
        self._reaper = subprocess.Popen(
            ["/bin/sh", "-c", _REAPER], stdin=subprocess.PIPE, process_group=0
        )

    @property
    def group(self) -> int:
        """The group of its processes."""
        return self._reaper.pid

    def spawn(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
        """Starts ``python -m command``, in the root of the checkout."""
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=self.group,
            )

    def close(self) -> None:
        """Ends whatever still runs."""
        self._reaper.communicate()


class Member:
    """One process, and those that come after it in its place.

    Args:
        crew: that it is of.
        name: of the first one, such as worker-2; the next is worker-2.1.
        command: for ``python -m``.
        env: what it finds in its environment, beside its name and journal.
        folder: takes the logs.
        journals: takes the journals.

    Attributes:
        name: of the one that runs now, or ran last; also of its journal.
        log: of that one.
        wanted: it is to run: an end of its own accord is a crash.
    """

    def __init__(
        self,
        crew: Crew,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        folder: Path,
        journals: Path,
    ) -> None:
        self._crew = crew
        self._place = name
        self._command = command
        self._env = env
        self._folder = folder
        self._journals = journals
        self._process: Process | None = None
        self._starts = 0
        self._started_at = 0.0
        self._lived_s = 0.0
        self.name = name
        self.log = folder / f"{name}.log"
        self.wanted = False

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._running().pid

    def ended_well(self, status: int) -> bool:
        """Whether one that was told to end did so, or was not up yet."""
        return status == 0 or (status == -signal.SIGTERM and self._lived_s < _START_S)

    @property
    def alive(self) -> bool:
        """Whether it has not ended (it may be suspended)."""
        return self._process is not None and self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status of the last process, negative for a signal; None while it runs."""
        return self._running().poll()

    def start(self) -> Self:
        """Starts a process in this place; returns at once."""
        if self.alive:
            raise RuntimeError(f"{self.name} runs already")
        if self._starts:
            self.name = f"{self._place}.{self._starts}"
        self._starts += 1
        self._started_at = time.monotonic()
        self.log = self._folder / f"{self.name}.log"
        own = {"CHAOS_NAME": self.name, "CHAOS_JOURNALS": str(self._journals)}
        self._process = self._crew.spawn(self._command, {**self._env, **own}, self.log)
        self.wanted = True
        return self

    def kill(self) -> None:
        """Ends it as a crash would (SIGKILL), and returns once it is gone."""
        self.wanted = False
        self._signal(signal.SIGKILL)
        self._running().wait()

    def terminate(self) -> None:
        """Asks it to end (SIGTERM); see `stopped`."""
        self.wanted = False
        self._lived_s = time.monotonic() - self._started_at
        self._signal(signal.SIGTERM)

    def pause(self) -> None:
        """Suspends it (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def stopped(self, within_s: float) -> int:
        """Waits for its end. Returns its exit status.

        Raises:
            TimeoutError: it had not ended in time.
        """
        give_up = time.monotonic() + within_s
        while self.alive:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{self.name} has not ended within {within_s:g} s: {self.log}")
            await asyncio.sleep(_POLL_S)
        return self._running().wait()

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._running().send_signal(number)
