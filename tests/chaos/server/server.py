"""The server of a run: it can be killed, suspended, and lose its power."""

from __future__ import annotations

import os
import shlex
import signal
import time
from typing import TYPE_CHECKING, Final, Literal, Self

from penstock.runtime._probe import ask
from penstock.runtime.embedded import EmbeddedServer
from tests.chaos.server.durable import DurableFiles
from tests.chaos.server.preload import Preload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ChaosServer", "NoProofError"]

#: How long a server with everysec may go without an fsync of what it has written, in seconds.
_SECOND_AND_SLACK: Final = 5.0


class NoProofError(Exception):
    """Whether the disk was synced cannot be known; what a power cut would lose neither."""


class ChaosServer(EmbeddedServer):
    """An EmbeddedServer with shims. The address stays the same for as long as the object lives.

    Args:
        folder: takes the data (``data/``), the shims and what they note.
        binary: of Valkey or Redis.
        appendfsync: "always", "everysec" or "no".
        options: further directives of the server's configuration.
        data_dir: where it persists, if not in ``folder/data``.
        shims: "fsyncspy" for power cuts, "slowfsync", "clock".
        env: further variables of the server's environment.

    Attributes:
        preload: holds the shims' dials.

    Raises:
        Skipped: this machine cannot compile or preload the shims.
    """

    def __init__(
        self,
        folder: Path,
        binary: Path,
        *,
        appendfsync: Literal["always", "everysec", "no"] = "always",
        options: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        shims: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.preload = Preload(folder / "preload", *shims)
        self._persists_in = (data_dir or folder / "data").resolve()
        self._spied = "fsyncspy" in shims
        self._durable = DurableFiles(self.preload.fsync_notes, self._persists_in / "appendonlydir")
        self._started = 0.0
        super().__init__(
            self._persists_in,
            binary=_launcher(folder, binary, {**self.preload.env, **(env or {})}),
            port=0,
            appendfsync=appendfsync,
            options=options,
        )

    @property
    def data_dir(self) -> Path:
        """Where it persists; also while it does not run."""
        return self._persists_in

    @property
    def port(self) -> int:
        """Of loopback."""
        port = super().port or self._wanted_port
        assert port, "the server was never started"
        return port

    @property
    def append_only_file(self) -> Path:
        """The file that it appends to."""
        folder = self.data_dir / "appendonlydir"
        # appendonly.aof.3.incr.aof
        return max(folder.glob("*.incr.aof"), key=lambda path: int(path.name.split(".")[-3]))

    @property
    def log(self) -> str:
        """What it has logged since it was started last."""
        return (self.data_dir / "server.log").read_text(errors="replace")

    def start(self) -> Self:
        """Starts it, or does nothing if it runs.

        Raises:
            ServerStartError: it ended, or does not answer.
            NoProofError: it runs without the shim that power cuts need.
        """
        super().start()
        self._wanted_port = self.port  # For good.
        self._started = time.monotonic()
        if self._spied:
            self._durable.read()
            if self.pid not in self._durable.loaded:
                raise NoProofError(f"the server {self.pid} has not loaded the shim fsyncspy")
        return self

    def kill(self) -> None:
        """SIGKILL, and waits for its end."""
        super().kill()
        self._durable.read()

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def power_cut(self) -> int:
        """Ends it as a power cut would: what was never synced to the disk is gone.

        What the kernel would have written by itself meanwhile counts as lost, too. Names of files
        count as synced: the server syncs the folder before it relies on one.

        Returns:
            How many bytes of the append-only files were lost.

        Raises:
            NoProofError: the shim is not seen to work, so nothing is known about the disk.
        """
        if not self._spied:
            raise NoProofError("a power cut needs the shim fsyncspy")
        pid, lived_s = self.pid, time.monotonic() - self._started
        os.killpg(pid, signal.SIGKILL)  # The child that rewrites a file goes with it.
        self.kill()
        self._durable.forget_notes()
        synced_at_once = self._appendfsync == "always"
        if synced_at_once or (self._appendfsync == "everysec" and lived_s > _SECOND_AND_SLACK):
            self._prove_syncs(pid)
        return self._durable.cut()

    def unsynced(self) -> int:
        """How many bytes of the append-only files a power cut would take now."""
        self._durable.read()
        return self._durable.unsynced()

    @property
    def longest_sync_s(self) -> float:
        """How long the slowest fsync took that the shim "fsyncspy" has seen, in seconds."""
        self._durable.read()
        return self._durable.longest_sync_s

    def _prove_syncs(self, pid: int) -> None:
        unsynced = self._durable.unsynced()
        if unsynced and not self._durable.synced_by.get(pid):
            raise NoProofError(
                f"the server wrote {unsynced} bytes, and was not seen to sync anything "
                f"with appendfsync {self._appendfsync}"
            )

    def ask(self, *words: str) -> str:
        """Sends it one command on a connection of its own; no word may hold white space.

        Raises:
            OSError: it does not answer.
            ProbeError: it answers with an error.
        """
        return ask(("127.0.0.1", self.port), *words, timeout_s=10)

    @property
    def title(self) -> str:
        """For the record: "Valkey 9.1.2, appendfsync always"."""
        info = dict(
            line.split(":", 1) for line in self.ask("INFO", "server").splitlines() if ":" in line
        )
        valkey = info.get("valkey_version")
        name = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
        return f"{name}, appendfsync {self._appendfsync}"


def _launcher(folder: Path, binary: Path, env: Mapping[str, str]) -> Path:
    """The binary, or a script that becomes it with further variables, in the same process."""
    if not env:
        return binary
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / "launch-server"
    words = " ".join(shlex.quote(f"{name}={value}") for name, value in env.items())
    # `env` itself runs without the shims.
    script.write_text(f'#!/bin/sh\nexec env {words} {shlex.quote(str(binary))} "$@"\n')
    script.chmod(0o755)
    return script.resolve()
