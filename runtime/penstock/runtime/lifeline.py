"""How a supervised process and its supervisor speak: over a socket, which is the child's stdin.

Its end tells the child to stop. It comes however the supervisor ends, even if that is killed. The
child says in return that it is up, or why it cannot be.
"""

import asyncio
import contextlib
import os
import socket
import sys
from typing import Final

__all__ = ["SupervisorEnd", "stop_with_supervisor", "tell_fault", "tell_up"]

_UP: Final = b"+"
_FAULT: Final = b"-"
_CHUNK: Final = 4096


class SupervisorEnd:
    """The supervisor's end.

    Args:
        up: Set as soon as the child says that it is up.
    """

    def __init__(self, up: asyncio.Event) -> None:
        self._up = up
        self._ours, self._childs = socket.socketpair()
        self._ours.settimeout(0)
        self._heard = b""

    @property
    def stdin(self) -> int:
        """The descriptor that the child is to be given as its stdin."""
        return self._childs.fileno()

    @property
    def fault(self) -> str:
        """Why the child cannot be up, in its own words; empty if it said nothing."""
        return self._heard.rpartition(_UP)[2].removeprefix(_FAULT).decode(errors="replace")

    def started(self) -> None:
        """The child has its own copy of its end by now."""
        self._childs.close()

    async def listen(self) -> None:
        """Hears the child out; returns when it is gone, or has closed its stdin."""
        loop = asyncio.get_running_loop()
        while words := await loop.sock_recv(self._ours, _CHUNK):
            self._hear(words)

    def hear_out(self) -> None:
        """Takes what a child said last, once it is gone and nobody listens any more."""
        with contextlib.suppress(OSError):  # There is nothing.
            self._hear(self._ours.recv(_CHUNK))

    def stop(self) -> None:
        """Tells the child to stop."""
        with contextlib.suppress(OSError):  # It is gone.
            self._ours.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Leaves nothing behind."""
        self._ours.close()
        self._childs.close()

    def _hear(self, words: bytes) -> None:
        self._heard += words
        if self._heard.startswith(_UP):
            self._up.set()


# The child's end.


def stop_with_supervisor(stopping: asyncio.Event) -> None:
    """Sets an event of the running loop when the supervisor says so, or is gone."""
    loop = asyncio.get_running_loop()
    stdin = sys.stdin.fileno()

    def heard() -> None:
        if not os.read(stdin, _CHUNK):
            loop.remove_reader(stdin)
            stopping.set()

    loop.add_reader(stdin, heard)


def tell_up() -> None:
    """Tells the supervisor that this process is up."""
    _tell(_UP)


def tell_fault(text: str) -> None:
    """Tells the supervisor why this process cannot be up; to be followed by its end."""
    _tell(_FAULT + text.encode()[: _CHUNK - 1])


def _tell(words: bytes) -> None:
    with contextlib.suppress(OSError):  # It is gone, and so will this process be.
        os.write(sys.stdin.fileno(), words)
