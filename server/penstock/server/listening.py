"""Where a gateway listens, and how several processes listen on one port."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Final

from penstock.runtime import ConfigurationError

__all__ = ["SharedPort", "cannot_listen", "unix_path"]

_UNIX: Final = "unix:"


def unix_path(listen: str) -> str | None:
    """The path of a unix socket, from what is configured; None for a port."""
    if not listen.startswith(_UNIX):
        return None
    path = listen.removeprefix(_UNIX)
    return path.removeprefix("//") if path.startswith("//") else path


def cannot_listen(listen: str) -> ConfigurationError:
    """The error of a gateway whose address is taken, or none of this machine's."""
    return ConfigurationError(
        f"cannot listen on {listen}: is another process there, or is the address not of "
        "this machine? Set PENSTOCK_LISTEN",
        fields=("listen",),
    )


class SharedPort:
    """A port that is kept for the processes of one gateway, which share it by SO_REUSEPORT.

    It takes no connection itself: its sockets are bound, and do not listen.

    Args:
        listen: host:port; port 0 finds a free one.

    Attributes:
        address: host:port, for all of the processes.

    Raises:
        ConfigurationError: another process listens there, or it is no port of this machine's.
    """

    def __init__(self, listen: str) -> None:
        if unix_path(listen) is not None:
            raise ConfigurationError(
                f"several processes cannot share {listen}, but only a port: set PENSTOCK_LISTEN to "
                "host:port, or PENSTOCK_PROCESSES=1",
                fields=("listen", "processes"),
            )
        self._listen = listen
        self._kept = contextlib.ExitStack()
        host, _, port = listen.rpartition(":")
        try:
            self._port = int(port)
            self._keep_all(host.strip("[]"))
        except (OSError, OverflowError, ValueError):
            self.close()
            raise cannot_listen(listen) from None
        self.address = f"{host}:{self._port}"

    def close(self) -> None:
        """Gives it up. Idempotent."""
        self._kept.close()

    def _keep_all(self, host: str) -> None:
        """Keeps it at each address of the host; one that the machine does not have is left out."""
        found = socket.getaddrinfo(
            host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        missing: OSError | None = None
        kept = 0
        for family, _, _, _, address in found:
            try:
                self._keep(family, (address[0], self._port, *address[2:]))
                kept += 1
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise
                missing = error
        if missing is not None and not kept:
            raise missing

    def _keep(self, family: int, address: tuple[str | int, ...]) -> None:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            # Without sharing: a forgotten process that shares it, too, would take a part of calls.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
            address = (address[0], trial.getsockname()[1], *address[2:])
        end = self._kept.enter_context(socket.socket(family, socket.SOCK_STREAM))
        end.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        end.bind(address)
        self._port = end.getsockname()[1]
