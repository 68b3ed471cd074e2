"""One question to a Redis server over a bare socket: enough to learn whether it is up.

The broker's connections need a server that answers; this module finds out when it does, and so
depends on nothing.
"""

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

Address = Path | tuple[str, int]

_POLL_S: Final = 0.005
_PATIENCE_S: Final = 30.0  # Counted anew while the server says LOADING: that may take minutes.
_MAX_REPLY_BYTES: Final = 1 << 20


class ProbeError(Exception):
    """The server answered with an error, whose text this is (``LOADING ...``)."""


def ask(address: Address, *words: str, timeout_s: float = 1.0) -> str:
    """Send one command on a connection of its own and return its reply.

    Args:
        address: Path of a unix socket, or host and port.
        *words: The command and its arguments, none of which may hold white space.
        timeout_s: Limit of each socket operation, in seconds.

    Returns:
        The text of a simple string, an integer or a bulk string.

    Raises:
        OSError: Nobody listens there, or the answer did not come in time.
        ProbeError: The reply is an error.
    """
    with _connect(address, timeout_s) as connection, connection.makefile("rb") as replies:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        line = replies.readline(_MAX_REPLY_BYTES)
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection before it answered")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"-":
            raise ProbeError(text)
        if kind == b"$":
            return replies.read(max(int(text), 0)).decode()
        return text


def await_answer(
    address: Address, command: str, expected: str, *, check_alive: Callable[[], None]
) -> None:
    """Send a command again and again until its reply holds ``expected``.

    Args:
        address: As for ask().
        command: The command and its arguments, parted by spaces.
        expected: A part of the reply.
        check_alive: Called before each try; raises if the server will never answer.

    Raises:
        TimeoutError: There was no such reply for 30 s, in which the server was not loading data.
    """
    last = "no answer"
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up:
        check_alive()
        try:
            last = ask(address, *command.split()) or "an empty reply"
        except ProbeError as error:
            last = str(error)
            if last.startswith("LOADING"):
                give_up = time.monotonic() + _PATIENCE_S
        except OSError as error:
            last = str(error)
        if expected in last:
            return
        time.sleep(_POLL_S)
    raise TimeoutError(
        f"the server did not answer {command} with {expected} within {_PATIENCE_S:g} s "
        f"({last.splitlines()[0]})"
    )


def _connect(address: Address, timeout_s: float) -> socket.socket:
    if isinstance(address, tuple):
        return socket.create_connection(address, timeout=timeout_s)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(str(address))
    except BaseException:
        connection.close()
        raise
    return connection
