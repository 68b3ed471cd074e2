"""The command line as its users run it: in processes of its own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["ROOT", "Answer", "Dev", "clean_environment", "on_a_terminal", "penstock"]

ROOT: Final = Path(__file__).resolve().parents[2]

_START_S: Final = 30.0
_STOP_S: Final = 30.0
_CALL_S: Final = 40.0


class Answer:
    """What a command printed, and how it ended.

    Attributes:
        code: Its exit code.
        out: What it wrote to stdout.
        err: What it wrote to stderr.
    """

    def __init__(self, done: subprocess.CompletedProcess[str]) -> None:
        self.code = done.returncode
        self.out = done.stdout
        self.err = done.stderr

    @property
    def lines(self) -> list[Any]:
        """The lines of JSON that it printed."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever was printed.
        """The one line of JSON that it printed."""
        (line,) = self.lines
        return line

    @property
    def id(self) -> str:
        """The job id that it printed, alone."""
        assert self.code == 0, self
        (job_id,) = self.out.split()
        return job_id

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment without the settings of whoever runs the tests, and with these."""
    settings = ("PENSTOCK_", "REDIS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    return {**kept, "NO_COLOR": "1", **variables}


def penstock(
    *arguments: str, given: str | None = None, address: str = "", **variables: str
) -> Answer:
    """Run a command to its end.

    Args:
        *arguments: Of the command line.
        given: On stdin.
        address: Of the gateway.
        **variables: Of its environment.
    """
    if address:
        variables["PENSTOCK_ADDRESS"] = address
    return Answer(
        subprocess.run(
            [sys.executable, "-m", "penstock.cli", *arguments],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=_CALL_S,
            env=clean_environment(**variables),
            cwd=ROOT,
            check=False,
        )
    )


def on_a_terminal(*arguments: str, address: str, width: int) -> tuple[int, str]:
    """Run a command to its end on a terminal of so many columns: its exit code, and all it wrote.

    What it wrote is without control sequences and spaces: lines are broken anywhere.
    """
    ours, theirs = os.openpty()
    variables = {"PENSTOCK_ADDRESS": address, "TERM": "xterm", "COLUMNS": str(width)}
    with subprocess.Popen(
        [sys.executable, "-m", "penstock.cli", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(**variables),
        cwd=ROOT,
    ) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # EIO is how a terminal without a process ends.
            while part := os.read(ours, 4096):
                written += part
        os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    return process.returncode, "".join(text.split())


class Dev:
    """A ``penstock dev`` of one's own, on a data folder and a free port.

    Attributes:
        address: Of its gateway.
        report: What it printed when it was up.
        log: The file that its stderr goes to.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.data_dir = folder / "data"
        self.log = folder / "dev.log"
        self.address = ""
        self.report: dict[str, Any] = {}
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None

    @property
    def process(self) -> subprocess.Popen[str]:
        """The process, which was started."""
        assert self._process is not None
        return self._process

    def start(self) -> Self:
        """Start it; returns once its gateway serves."""
        fixed = ["--json", "--listen", "127.0.0.1:0", "--data-dir", str(self.data_dir)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "penstock.cli", "dev", *self._arguments, *fixed],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=clean_environment(),
                cwd=ROOT,
            )
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _START_S)
        line = self._process.stdout.readline() if ready else ""
        assert line, f"it does not come up:\n{self.log.read_text()}"
        self.report = json.loads(line)
        self.address = self.report["address"]
        return self

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop; returns its exit code."""
        self.process.send_signal(with_signal)
        return self.ended()

    def ended(self) -> int:
        """Wait for its end; returns its exit code."""
        try:
            return self.process.wait(_STOP_S)
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()
