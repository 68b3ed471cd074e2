"""One question to a Redis server over a bare socket: enough to learn whether it is up.

The broker's connections need a server that answers; this module finds out when it does, and so
depends on nothing.
"""

import socket
from pathlib import Path
from typing import Final

__all__ = ["ProbeError", "ask"]

_MAX_REPLY_BYTES: Final = 1 << 20


class ProbeError(Exception):
    """The server answered with an error, whose text this is (``LOADING ...``)."""


def ask(address: Path | tuple[str, int], *words: str, timeout_s: float = 1.0) -> str:
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


def _connect(address: Path | tuple[str, int], timeout_s: float) -> socket.socket:
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
