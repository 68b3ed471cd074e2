"""What is held when there is nothing left to do: it must not grow with the work that was done.

Asked for at the end of a run, once all jobs have ended and the clients have gone, while gateways
and workers still run. What is on its way out is waited for.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.history.journal import Journal

__all__ = ["write_bounds"]

#: A gateway or worker: connections to the server for each of its purposes, the listening socket,
#: the loop's own, and those of child processes. A leak of one a call would be thousands.
_SOCKETS: Final = 40
_THREADS: Final = 80
_MEMORY_MB: Final = 400
#: Connections of the server for each process, at most.
_CONNECTIONS: Final = 15
#: The consumer of a foreign hand (faults/data.py): what it never acknowledges is its own.
_FOREIGN: Final = b"thief"
#: How long all this may take to settle (s), and how often it is looked at.
_SETTLE_S: Final = 20.0
_LOOK_S: Final = 0.5


class Process(Protocol):
    """A gateway or a worker."""

    name: str

    @property
    def pid(self) -> int: ...


class Server(Protocol):
    """Takes commands."""

    async def redis(self, *command: str | bytes | float) -> Any: ...  # noqa: ANN401 - by command.


#: Name, value, and the most that it may be.
Held: TypeAlias = tuple[str, int, int]


async def write_bounds(
    server: Server, processes: Sequence[Process], journal: Journal, within_s: float = _SETTLE_S
) -> None:
    """Writes a ``bound`` line for each thing that is held.

    Args:
        server: that the processes share.
        processes: all that still run.
        journal: takes the lines.
        within_s: how long what is on its way out is waited for.
    """
    loop = asyncio.get_running_loop()
    give_up = loop.time() + within_s
    while True:
        held = await _of_server(server, len(processes))
        held += [each for process in processes for each in _of_process(process)]
        if all(value <= most for _, value, most in held) or loop.time() > give_up:
            break
        await asyncio.sleep(_LOOK_S)
    for name, value, most in held:
        journal.write("bound", name=name, value=value, most=most)


async def _of_server(server: Server, processes: int) -> list[Held]:
    """Its connections, and what waits or runs in any slot."""
    clients = (await server.redis("CLIENT", "LIST")).splitlines()
    held = [("connections of the server", len(clients), _CONNECTIONS * processes + 5)]
    entries = pending = running = 0
    # By patterns, since a long run leaves half a million keys.
    for key in await server.redis("KEYS", "*:s:[hdl]"):
        entries += await server.redis("XLEN", key)
        for group in await server.redis("XINFO", "GROUPS", key):
            name = _fields(group)[b"name"]
            for consumer in await server.redis("XINFO", "CONSUMERS", key, name):
                told = _fields(consumer)
                pending += 0 if told[b"name"] == _FOREIGN else int(told[b"pending"])
    for structure in ("lease", "due", "held", "dl"):
        for key in await server.redis("KEYS", f"*:{structure}"):
            running += await server.redis("ZCARD", key)
    held.append(("entries in streams", entries, 0))
    held.append(("pending entries", pending, 0))
    return [*held, ("jobs that wait, run or have a deadline", running, 0)]


def _fields(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _of_process(process: Process) -> list[Held]:
    folder = Path(f"/proc/{process.pid}")
    try:
        sockets = sum(_is_socket(link) for link in (folder / "fd").iterdir())
        lines = (folder / "status").read_text().splitlines()
    except OSError:  # It ended just now, or this is no Linux.
        return []
    status = dict(line.split(":", 1) for line in lines)
    memory_mb = int(status["VmRSS"].split()[0]) // 1024
    return [
        (f"sockets of {process.name}", sockets, _SOCKETS),
        (f"threads of {process.name}", int(status["Threads"]), _THREADS),
        (f"MB of memory of {process.name}", memory_mb, _MEMORY_MB),
    ]


def _is_socket(link: Path) -> bool:
    try:
        return str(link.readlink()).startswith("socket:")
    except OSError:
        return False
