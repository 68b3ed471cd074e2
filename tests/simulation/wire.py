"""The way to the server: each process's connections, which order, delay, lose and repeat.

The server is real, and is asked over a blocking socket, one command at a time: the order in which
commands are executed is that in which this module executes them, and chance decides it. Scripts
read the virtual date in place of the server's own.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import hiredis

from penstock.broker import ConnectionLost, Unavailable
from penstock.broker.errors import ReplyError, reply_error
from penstock.broker.pipeline import LinkStats
from penstock.broker.script import all_scripts
from tests.simulation.clock import PROCESS

if TYPE_CHECKING:
    import random
    from asyncio import Future
    from collections.abc import Awaitable, Callable, Collection
    from pathlib import Path

    from penstock.broker.pipeline import Arg, Caller, Reply
    from tests.simulation.clock import Clock

__all__ = ["Command", "Link", "Network", "Server"]

#: Where the scripts of a run read the date.
_DATE_KEY: Final = b"date"
#: How the key of the mark of a walk ends.
_MARK: Final = b":walk"
_READS_DATE: Final = "redis.call('TIME')"
_READS_KEY: Final = "redis.call('HMGET', 'date', 's', 'us')"

_pack: Callable[[tuple[Arg, ...]], bytes] = hiredis.pack_command  # type: ignore[assignment]


class Server:
    """A real server, asked at once.

    Args:
        path: its unix socket.
        clock: of the run; what its scripts read.
        peek: a script that tells of all jobs.
        idle: names of the scripts after which there is nothing new to see.
    """

    def __init__(self, path: Path, clock: Clock, peek: str, idle: Collection[str]) -> None:
        self._clock = clock
        self._idle = idle
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader(replyError=reply_error)
        self._told_ms = -1
        self._mark_ends_s: float | None = None
        self._names = {script.sha1: script.name for script in all_scripts()}
        self._by_source = {script.source: script.sha1 for script in all_scripts()}
        self._sha1s: dict[str, bytes] = {}
        self._loaded: set[bytes] = set()
        self.ask("FLUSHALL")
        for script in all_scripts():
            source = script.source.replace(_READS_DATE, _READS_KEY)
            self._sha1s[script.name] = self.ask("SCRIPT", "LOAD", source)
        self._peek = _pack((b"EVALSHA", self.ask("SCRIPT", "LOAD", peek), 0))

    def close(self) -> None:
        """Hangs up."""
        self._socket.close()

    def forget_scripts(self) -> None:
        """As SCRIPT FLUSH: each has to be loaded again by those who use it."""
        self._loaded.clear()

    def ask(self, *args: Arg) -> Reply:
        """The reply, or the error that it is (which is not raised)."""
        self._socket.sendall(_pack(args))
        return self._reply()

    def peek(self) -> Reply:
        """What there is."""
        self._socket.sendall(self._peek)
        return self._reply()

    def _age_mark(self, args: tuple[Arg, ...]) -> bytes | None:
        """Has the mark of a walk, which lives for a minute, live by virtual time.

        Returns:
            Its key, if the command is about it: then its life has to be looked at afterwards.
        """
        first = (arg for arg in args[:4] if isinstance(arg, bytes))
        key = next((arg for arg in first if arg.endswith(_MARK)), None)
        if key is not None and self._mark_ends_s is not None:
            left_ms = round((self._mark_ends_s - self._clock.now_s) * 1000)
            self.ask(*(("PEXPIRE", key, left_ms) if left_ms > 0 else ("DEL", key)))
        return key

    def execute(self, args: tuple[Arg, ...]) -> tuple[str, Reply, Reply]:
        """Runs what the product sent.

        Returns:
            The script's name ('' for a command), the reply, and what `peek` tells right after it;
            None where that was not asked for.
        """
        mark = self._age_mark(args)
        answer = self._execute(args)
        if mark is not None:
            life_ms = self.ask("PTTL", mark)
            self._mark_ends_s = self._clock.now_s + life_ms / 1000 if life_ms > 0 else None
        return answer

    def _execute(self, args: tuple[Arg, ...]) -> tuple[str, Reply, Reply]:
        word = args[0] if isinstance(args[0], bytes) else str(args[0]).encode()
        if word == b"SCRIPT":
            return "", self._load(args), None
        if word == b"EVAL":
            sha1 = self._load(("SCRIPT", "LOAD", args[1]))
            word, args = b"EVALSHA", (b"EVALSHA", sha1, *args[2:])
        if word != b"EVALSHA":
            return "", self.ask(*args), None
        sha1 = args[1]
        assert isinstance(sha1, bytes)
        if sha1 not in self._loaded:
            return "", ReplyError("NOSCRIPT", "No matching script."), None
        name = self._names[sha1]
        return name, *self._run(self._sha1s[name], args[2:], peek=name not in self._idle)

    def _load(self, args: tuple[Arg, ...]) -> Reply:
        sha1 = self._by_source.get(str(args[2]))
        if sha1 is None:
            return self.ask(*args)
        self._loaded.add(sha1)
        return sha1

    def _run(self, sha1: bytes, args: tuple[Arg, ...], *, peek: bool) -> tuple[Reply, Reply]:
        """All in one go, since each costs a change of processes."""
        parts = []
        now_ms = self._clock.server_ms
        if now_ms != self._told_ms:
            self._told_ms = now_ms
            seconds, us = now_ms // 1000, now_ms % 1000 * 1000
            parts.append(_pack((b"HSET", _DATE_KEY, b"s", seconds, b"us", us)))
        parts.append(_pack((b"EVALSHA", sha1, *args)))
        if peek:
            parts.append(self._peek)
        self._socket.sendall(b"".join(parts))
        if len(parts) - peek > 1:
            self._reply()
        return self._reply(), self._reply() if peek else None

    def _reply(self) -> Reply:
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the server hung up")
            self._reader.feed(data)
        return reply


@dataclass
class Command:
    """One command on its way.

    Attributes:
        args: as the product gave them.
        future: of the reply; None where nobody waits for it.
        by: name of the process.
    """

    args: tuple[Arg, ...]
    future: Future[Reply] | None
    by: str


@dataclass
class Network:
    """All connections of a run.

    Attributes:
        server: who answers.
        chance: of the run.
        executed: told of each command that the server has run: script, reply, and what there is
            after it.
        slowness_s: how long a command takes on its way, on average.
        links: of living processes.
        away_until_s: until then nobody can connect.
        given_up: connections that broke while what they had sent was still on its way.
    """

    server: Server
    chance: random.Random
    executed: Callable[[Command, str, Reply, Reply], None]
    slowness_s: float = 0.001
    links: list[Link] = field(default_factory=list)
    away_until_s: float = 0.0
    given_up: int = 0

    def link(self, _url: str, options: object = None) -> Link:
        """What a `Broker` takes for its `RedisLink`."""
        del options
        link = Link(self)
        self.links.append(link)
        return link

    def run(self, command: Command) -> Reply:
        """Executes a command."""
        name, reply, seen = self.server.execute(command.args)
        self.executed(command, name, reply, seen)
        return reply


class _Connection:
    """One connection: commands are executed in order, and so are their replies delivered."""

    def __init__(self, network: Network, by: str) -> None:
        self._network = network
        self._loop = asyncio.get_running_loop()
        self._by = by
        self._queue: deque[Command] = deque()
        self._answered: deque[tuple[Command, Reply]] = deque()
        self._pumping = False
        self._reading = False
        self._frozen_until_s = 0.0
        self.lost = asyncio.Event()

    def call(self, *args: Arg) -> Future[Reply]:
        """See `Pipeline.call`."""
        future: Future[Reply] = self._loop.create_future()
        if self.lost.is_set():
            future.set_exception(Unavailable("not connected"))
            future.exception()
        else:
            self._send(Command(args, future, self._by))
        return future

    def send(self, *args: Arg) -> None:
        """See `Pipeline.send`."""
        if not self.lost.is_set():
            self._send(Command(args, None, self._by))

    def freeze(self, for_s: float) -> None:
        """Nothing comes through for a while. One that is given up meanwhile may still execute."""
        self._frozen_until_s = self._loop.time() + for_s

    def cut(self, *, deliver_late: bool) -> None:
        """Breaks. What was on its way to the server may still get there."""
        if self.lost.is_set():
            return
        self.lost.set()
        unanswered = [command for command, _ in self._answered] + list(self._queue)
        if not deliver_late:
            self._queue.clear()
        self._answered.clear()
        for command in unanswered:
            if command.future is not None and not command.future.done():
                command.future.set_exception(ConnectionLost("it broke", maybe_executed=True))
                command.future.exception()

    @property
    def waiting(self) -> bool:
        """Whether an answer is outstanding."""
        return bool(self._queue or self._answered)

    def _send(self, command: Command) -> None:
        self._queue.append(command)
        if not self._pumping:
            self._pumping = True
            self._later(self._pump)

    def _later(self, callback: Callable[[], None]) -> None:
        """After some time on the way, and in nobody's name: no stopped process holds it up."""
        delay_s = self._network.chance.expovariate(1 / self._network.slowness_s)
        until_s = max(self._loop.time(), self._frozen_until_s) + delay_s
        token = PROCESS.set(None)
        try:
            self._loop.call_at(until_s, callback)
        finally:
            PROCESS.reset(token)

    def _pump(self) -> None:
        """The server reads some of what was sent."""
        if self._loop.time() < self._frozen_until_s:
            self._later(self._pump)
            return
        count = self._network.chance.randint(1, 3)
        while self._queue and count:
            count -= 1
            command = self._queue.popleft()
            reply = self._network.run(command)
            if not self.lost.is_set():
                self._answered.append((command, reply))
        if self._answered and not self._reading:
            self._reading = True
            self._later(self._read)
        if self._queue:
            self._later(self._pump)
        else:
            self._pumping = False

    def _read(self) -> None:
        """The process reads what was answered."""
        self._reading = False
        if self._loop.time() < self._frozen_until_s:
            self._reading = True
            self._later(self._read)
            return
        while self._answered:
            command, reply = self._answered.popleft()
            future = command.future
            if future is None or future.done():
                continue
            if isinstance(reply, ReplyError):
                future.set_exception(reply)
            else:
                future.set_result(reply)


class Link:
    """What stands in for a `RedisLink`: the same promises, and all that may befall it."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._connection: _Connection | None = None
        self._changed = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._closed = False
        self.endpoint = "simulated"
        self.on_connect: list[Callable[[Caller], Awaitable[None]]] = []
        self.stats = LinkStats()
        process = PROCESS.get()
        self.by = process.name if process else ""

    # What the product calls.

    def call(self, *args: Arg) -> Future[Reply]:
        """See `RedisLink.call`."""
        if self._connection is not None:
            return self._connection.call(*args)
        future: Future[Reply] = asyncio.get_running_loop().create_future()
        future.set_exception(Unavailable("the link is not connected"))
        future.exception()
        return future

    def send(self, *args: Arg) -> None:
        """See `RedisLink.send`."""
        if self._connection is not None:
            self._connection.send(*args)

    @property
    def trouble(self) -> Unavailable | None:
        """See `RedisLink.trouble`."""
        return None if self._connection is not None else Unavailable("the link is not connected")

    def start(self) -> None:
        """See `RedisLink.start`."""
        if self._keeper is None and not self._closed:
            self._keeper = asyncio.create_task(self._keep_connected())

    async def ready(self, timeout_s: float | None = None) -> None:
        """See `RedisLink.ready`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._connection is None and not self._closed:
                    await self._changed.wait()
        except TimeoutError:
            raise Unavailable("the link is not connected") from None
        if self._closed:
            raise Unavailable("the link is closed")

    def renew(self, reason: str) -> None:
        """See `RedisLink.renew`."""
        del reason
        self.cut(deliver_late=True)

    async def close(self) -> None:
        """See `RedisLink.close`."""
        self._closed = True
        self._changed.set()
        if self in self._network.links:
            self._network.links.remove(self)
        self.cut(deliver_late=True)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    async def __aenter__(self) -> Self:
        self.start()
        await self.ready()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # What befalls it.

    def cut(self, *, deliver_late: bool) -> None:
        """The connection breaks; what was sent may still be executed, or not at all."""
        if self._connection is not None:
            self._network.given_up += deliver_late and self._connection.waiting
            self._connection.cut(deliver_late=deliver_late)
            self._connection = None
            if not self._closed:
                self._changed.clear()

    def freeze(self, for_s: float, *, patience_s: float = 5.0) -> None:
        """Nothing comes through; who waits in vain gives the connection up, as the real link does.

        What it had sent is executed when the freeze is over, after all that came by another way.
        """
        connection = self._connection
        if connection is None:
            return
        connection.freeze(for_s)

        def give_up() -> None:
            if self._connection is connection and connection.waiting:
                self.cut(deliver_late=True)

        if for_s > patience_s:
            asyncio.get_running_loop().call_later(patience_s, give_up)

    def abandon(self) -> None:
        """Its process is killed."""
        self._closed = True
        if self in self._network.links:
            self._network.links.remove(self)
        self.cut(deliver_late=self._network.chance.random() < 0.5)

    async def _keep_connected(self) -> None:
        loop, chance = asyncio.get_running_loop(), self._network.chance
        while True:
            away_s = max(0.0, self._network.away_until_s - loop.time())
            await asyncio.sleep(away_s + chance.uniform(0.001, 0.1))
            connection = _Connection(self._network, self.by)
            if await self._greet(connection):
                self._connection = connection
                self.stats.connects += 1
                self._changed.set()
                await connection.lost.wait()

    async def _greet(self, connection: _Connection) -> bool:
        try:
            for hook in self.on_connect:
                async with asyncio.timeout(5.0):
                    await hook(connection)
        except (Unavailable, TimeoutError):
            connection.cut(deliver_late=True)
            return False
        return True
