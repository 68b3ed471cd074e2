"""A primary and its replicas, as processes that may be killed, suspended and promoted."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, Self

from penstock.runtime._probe import ask
from penstock.runtime.embedded import EmbeddedServer
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Replicas"]

#: A full copy begins at a tick of the primary, once a second; on a busy machine later.
_SYNC_WITHIN_S: Final = 45.0
_OPTIONS: Final = {
    "enable-debug-command": "yes",
    "repl-diskless-sync-delay": "0",
    # Nobody is given up because a busy machine is slow.
    "repl-timeout": "600",
}


class Replicas:
    """Servers on loopback, each synced at every write. A context manager that ends them all.

    Attributes:
        primary: the first one, to begin with.
        replica: the second one, a replica of it.
    """

    def __init__(self, binary: Path) -> None:
        self._binary = binary
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with self._stack as stack:
            self.primary = self.server()
            self.replica = self.server()
            self.follow(self.replica, self.primary)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def server(self) -> EmbeddedServer:
        """One more, which follows nobody."""
        server = EmbeddedServer(binary=self._binary, port=0, appendfsync="always", options=_OPTIONS)
        return self._stack.enter_context(server)

    def follow(
        self, replica: EmbeddedServer, primary: EmbeddedServer, port: int | None = None
    ) -> None:
        """Has a server copy another; returns once it does.

        Args:
            replica: that is to follow.
            primary: that is to be followed.
            port: that leads to it, where that is not its own.
        """
        ask(replica.socket_path, "REPLICAOF", "127.0.0.1", str(port or primary.port))
        self.synced(replica)

    def synced(self, replica: EmbeddedServer) -> None:
        """Returns once a replica's link to its primary is up."""
        wait_until(
            lambda: "master_link_status:up" in ask(replica.socket_path, "INFO", "replication"),
            "the replica follows its primary",
            within_s=_SYNC_WITHIN_S,
        )

    def pause(self, server: EmbeddedServer) -> None:
        """Suspends one; it is woken when it is stopped."""
        os.kill(server.pid, signal.SIGSTOP)

    def resume(self, server: EmbeddedServer) -> None:
        """Undoes `pause`."""
        os.kill(server.pid, signal.SIGCONT)

    def promote(self, server: EmbeddedServer) -> None:
        """Makes a replica a primary."""
        ask(server.socket_path, "REPLICAOF", "NO", "ONE")
