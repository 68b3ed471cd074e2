"""A child process that cannot outlive its parent."""

import contextlib
import signal
import subprocess
from collections.abc import Sequence
from typing import IO, Final, Self

_STOP_TIMEOUT_S: Final = 10.0

# Waits for a line on stdin, which means "stand down". End of file without one means that the
# parent is gone, however it went: then the child is told to save and exit. Chosen over
# PR_SET_PDEATHSIG, which needs preexec_fn (unsafe beside threads), exists on Linux alone, and
# fires when the starting *thread* ends.
_REAPER: Final = 'read -r _ || kill -TERM "$1"'


class Child:
    """A process, and a second, tiny one that ends it should this one die. Made by spawn()."""

    def __init__(self, process: subprocess.Popen[bytes], reaper: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._reaper = reaper

    @classmethod
    def spawn(cls, command: Sequence[str], *, output: IO[bytes], inherit: Sequence[int]) -> Self:
        """Start a program.

        Args:
            command: The program and its arguments.
            output: Where its stdout and stderr go.
            inherit: The file descriptors that it keeps open.

        Raises:
            OSError: It cannot be run.
        """
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Ctrl-C in a terminal reaches the whole group; the child must outlast those who are
            # still to write down with it what they did.
            start_new_session=True,
            pass_fds=inherit,
        )
        try:
            reaper = subprocess.Popen(
                ["/bin/sh", "-c", _REAPER, "reaper", str(process.pid)],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        except BaseException:
            process.kill()
            process.wait()
            raise
        return cls(process, reaper)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """Its exit status (negative for a signal), or None if it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float | None) -> int | None:
        """Wait for its end, for at most ``timeout_s`` seconds; return its status, as above."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    def end(self, with_signal: signal.Signals) -> None:
        """Send the signal, wait for the end (SIGKILL after 10 s), dismiss the reaper."""
        self._process.send_signal(with_signal)
        self._process.send_signal(signal.SIGCONT)  # A stopped process would not see the first.
        if self.wait(_STOP_TIMEOUT_S) is None:
            self._process.kill()
            self._process.wait()
        self._reaper.communicate(b"\n")
