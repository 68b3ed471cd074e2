"""What ``penstock dev`` finds out before it starts anything, and says in a line if it is wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from typing import TYPE_CHECKING, Final

from penstock.cli.faults import CommandError
from penstock.cli.options import DEFAULT_ADDRESS
from penstock.runtime import DataDirInUseError
from penstock.runtime.embedded import EmbeddedServer, check_data_dir

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["check_port", "own_server"]

_PID_FILE: Final = "dev.pid"


def check_port(listen: str | None, folder: Path | None) -> None:
    """Refuse a port that another process listens on, before the gateway would stumble over it.

    Args:
        listen: As given; None is what the settings say.
        folder: Of the data, if there will be an embedded server. Where it is in use as well, that
            is what is told: whoever started this twice has all of it running.

    Raises:
        CommandError: It is taken.
    """
    address = listen or os.environ.get("PENSTOCK_LISTEN") or DEFAULT_ADDRESS
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or port == "0" or address.startswith("unix:"):
        return  # Free by choice; what is malformed is told by whoever reads the settings.
    host = host.strip("[]")
    with contextlib.suppress(socket.gaierror, OverflowError):
        family, kind, _, _, where = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(where)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    return
                if folder is not None:
                    _check_folder(folder)
                raise CommandError(
                    f"port {port} on {host} is taken: another process listens there",
                    "stop it (is it another penstock dev?), or choose a port: --listen HOST:PORT",
                ) from None


@contextlib.asynccontextmanager
async def own_server(folder: Path) -> AsyncIterator[EmbeddedServer]:
    """Run the embedded server on a data folder, with a note there of whose it is.

    Raises:
        CommandError: The folder cannot be used, or another process uses it.
        RuntimeFault: The server cannot be started for another reason.
    """
    note = folder / _PID_FILE
    async with contextlib.AsyncExitStack() as stack:
        try:
            server = await stack.enter_async_context(EmbeddedServer(folder))
            note.write_text(str(os.getpid()))
        except DataDirInUseError as error:
            raise _in_use(folder, error) from error
        except OSError as error:
            raise CommandError(
                f"jobs cannot be kept in {folder}: {error.strerror}",
                "choose another folder: --data-dir FOLDER",
            ) from error
        stack.callback(note.unlink, missing_ok=True)
        yield server


def _check_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # What is wrong with it is told by whoever opens it.
        try:
            check_data_dir(folder)
        except DataDirInUseError as error:
            raise _in_use(folder, error) from error


def _in_use(folder: Path, error: DataDirInUseError) -> CommandError:
    return CommandError(
        f"{folder} is in use by {_owner(folder, error)}",
        "use that one, stop it, or give this one its own: --data-dir FOLDER --listen HOST:PORT",
    )


def _owner(folder: Path, error: DataDirInUseError) -> str:
    try:
        pid = int((folder / _PID_FILE).read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return f"the server with pid {error.pid}" if error.pid else "another process"
    return f"the penstock dev with pid {pid}"
