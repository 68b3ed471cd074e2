"""Processes of a world that start in no time: copies of one that has imported everything.

A gateway or worker that is started as usual spends most of its first second in imports. Where a
scenario starts hundreds of them, ``python -m tests.chaos.worlds.forkserver`` imports once, and
forks one process for each line of JSON on its stdin, which then runs as ``python -m`` would.
"""

from __future__ import annotations

import json
import os
import runpy
import select
import signal
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

from tests.chaos.worlds.member import ROOT, Crew

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ForkServer"]

#: What costs the time. Apps are not among it: they look at the process that imports them.
_IMPORTS: Final = ("penstock.cli.main", "penstock.server.gateways", "penstock.worker.service")


class ForkServer(Crew):
    """A crew whose processes are forked."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._born: list[int] = []
        self._ended: dict[int, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.worlds.forkserver"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=self.group,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, name="forkserver", daemon=True)
        self._listener.start()

    def spawn(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> Child:
        """See `Crew`."""
        assert self._process.stdin is not None
        order = {"command": list(command), "env": dict(env), "log": str(log.resolve())}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        with self._changed:
            if not self._changed.wait_for(lambda: self._born, timeout=60):
                raise TimeoutError("the fork server does not answer")
            return Child(self, self._born.pop())

    def status_of(self, pid: int, within_s: float | None) -> int | None:
        """Exit status of a process, negative for a signal; None if it has not ended in time."""
        with self._changed:
            self._changed.wait_for(lambda: pid in self._ended, within_s)
            return self._ended.get(pid)

    def close(self) -> None:
        """See `Crew`."""
        super().close()
        self._process.wait()
        self._listener.join()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            what, pid, status = line.split()
            with self._changed:
                if what == "born":
                    self._ended.pop(int(pid), None)
                    self._born.append(int(pid))
                else:
                    self._ended[int(pid)] = int(status)
                self._changed.notify_all()


class Child:
    """A process that was forked, with the part of `subprocess.Popen` that `Member` uses."""

    def __init__(self, server: ForkServer, pid: int) -> None:
        self._server = server
        self.pid = pid

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._server.status_of(self.pid, 0)

    def wait(self) -> int:
        """Waits for its end. Returns its exit status."""
        status = self._server.status_of(self.pid, None)
        assert status is not None
        return status

    def send_signal(self, number: int) -> None:
        """Sends it a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _serve() -> None:
    """Forks a process for each line, and tells of those that ended."""
    for name in _IMPORTS:
        import_module(name)
    wakes, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    orders = b""
    while True:
        ready, _, _ = select.select([sys.stdin.fileno(), wakes], [], [])
        if wakes in ready:
            os.read(wakes, 4096)
            _report_ended()
        if sys.stdin.fileno() in ready:
            chunk = os.read(sys.stdin.fileno(), 65536)
            if not chunk:
                return
            *lines, orders = (orders + chunk).split(b"\n")
            for line in lines:
                pid = os.fork()
                if not pid:
                    os.close(wakes)
                    os.close(wake)
                    _become(json.loads(line))
                _say("born", pid, 0)


def _report_ended() -> None:
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            _say("ended", pid, os.waitstatus_to_exitcode(status))


def _say(what: str, pid: int, status: int) -> None:
    os.write(sys.stdout.fileno(), f"{what} {pid} {status}\n".encode())


def _become(order: dict[str, Any]) -> NoReturn:
    """Goes on as `python -m` would, and ends."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for ours, theirs in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(ours, theirs)
    os.environ.update(order["env"])
    module, *arguments = order["command"]
    sys.argv = [module, *arguments]
    status = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - whatever it is, it ends here, and not in whom it was forked from.
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
