"""The durability `replicated`: an answer is held back until replicas have what it acknowledges.

WAIT blocks whatever stands behind it on its connection, so it has one of its own, and serves
groups there: whoever asks while a round is under way is in the next. A round is a write of our own,
which the server puts behind all that it executed before, and WAIT (or WAITAOF). It thereby covers
writes of other connections, and those of earlier calls that a repeated one only finds.

That holds within one history of one server alone. A call may have been executed by a primary that
is lost by now, and the round by its successor, which never heard of it: so each call says on which
server, and in which history of its data, it was executed. Where the round was another's, the call
is repeated.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from penstock.broker.dedicated import Dedicated, Session
from penstock.broker.errors import ConnectionLost, NotReplicated, ReplyError, UnsafeServer
from penstock.broker.info import history_of, parse_info
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Awaitable, Callable

    from penstock.broker.pipeline import Arg, Caller, Reply

CONFIRM = load_script("confirm")
#: How long the key of our own write lives (ms).
CONFIRM_TTL_MS: Final = 60_000
#: How long replicas have at the start, where nobody waits yet (s).
START_PATIENCE_S: Final = 3.0
#: How long they have for each write where the process goes down (s).
LAST_PATIENCE_S: Final = 1.0
#: A round without an answer for so much longer than it may take is on a dead connection (s).
MARGIN_S: Final = 2.0

Sync = Literal["memory", "disk"]
_T = TypeVar("_T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReplicationOptions:
    """What a process asks of replicas.

    Attributes:
        replicas: how many must have a write before it is acknowledged.
        sync: where they must have it: in memory (WAIT), or in their synced append-only files
            (WAITAOF).
        timeout_s: how long a call waits for them, in seconds.
    """

    replicas: int = 1
    sync: Sync = "memory"
    timeout_s: float = 2.0

    def wait(self, within_s: float) -> tuple[Arg, ...]:
        """The command that waits for them."""
        within_ms = max(1, round(within_s * 1000))
        if self.sync == "disk":
            return "WAITAOF", 1, self.replicas, within_ms
        return "WAIT", self.replicas, within_ms

    def suffices(self, reply: Reply) -> bool:
        """Whether the answer of that command says that enough of them have it."""
        if self.sync == "disk":
            local, replicas = reply
            return bool(local >= 1 and replicas >= self.replicas)
        return bool(reply >= self.replicas)


class Replication(Dedicated):
    """Has replicas confirm what was written.

    Args:
        url: of the server.
        key: the write of our own goes there.
        options: how many, and how.
        on_other: called where the shared connection leads to another server, or history.

    Attributes:
        history: that the shared connection writes to, as was read when it was made.
        confirmed: whether replicas had all that was written when they were asked last.
    """

    def __init__(
        self, url: str, key: bytes, options: ReplicationOptions, on_other: Callable[[], None]
    ) -> None:
        super().__init__(url, "replication", options.timeout_s + MARGIN_S)
        self.options = options
        self.key = key
        self.history = ""
        self.confirmed = False
        self.wanted = asyncio.Event()
        self._on_other = on_other
        self._patience_s = options.timeout_s
        self._patience: set[asyncio.Timeout] = set()
        self._waiting: list[tuple[Future[None], str]] = []
        self._met = False

    async def hold(self, flight: Awaitable[_T]) -> _T:
        """The answer of a command, once replicas have all that it may rest on.

        Args:
            flight: issued on the shared connection in the same turn of the event loop.

        Raises:
            NotReplicated: they have not within the time. The command was executed.
            ConnectionLost: the server changed meanwhile; the command is worth repeating.
        """
        history = self.history
        answer = await flight
        await self.confirm(history)
        return answer

    async def confirm(self, history: str) -> None:
        """Waits until replicas have all that was executed so far in a history. Raises as `hold`."""
        future: Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((future, history))
        self.wanted.set()
        try:
            async with asyncio.timeout(self._patience_s) as patience:
                self._patience.add(patience)
                try:
                    await future
                finally:
                    self._patience.discard(patience)
        except TimeoutError:
            self.told(confirmed=False)
            raise NotReplicated(self.options.replicas, self._patience_s) from None

    def hurry(self) -> None:
        """The process goes down: from now on nobody waits for longer than `LAST_PATIENCE_S`."""
        self._patience_s = min(self._patience_s, LAST_PATIENCE_S)
        latest = asyncio.get_running_loop().time() + self._patience_s
        for patience in self._patience:
            when = patience.when()
            patience.reschedule(latest if when is None else min(when, latest))

    async def examine(self, caller: Caller, info: dict[str, str]) -> None:
        """At every connect of the shared connection; the first one must find the replicas.

        Later ones need not: the others' running jobs can end, and be looked at, without them.

        Raises:
            UnsafeServer: there are not enough replicas, or they cannot do what is asked for.
        """
        if not self._met:
            await self._meet(caller)
            self._met = True
            self.told(confirmed=True)
        self.history = history_of(info)
        await self.start()

    def next_group(self) -> list[tuple[Future[None], str]]:
        """Those who wait, but for whoever has given up; from now on they are the caller's."""
        group = [waiter for waiter in self._waiting if not waiter[0].done()]
        self._waiting = []
        self.wanted.clear()
        return group

    def put_back(self, group: list[tuple[Future[None], str]]) -> None:
        """Has a group wait for the next round."""
        self._waiting = group + self._waiting
        if self._waiting:
            self.wanted.set()

    def settle(self, group: list[tuple[Future[None], str]], history: str) -> None:
        """Ends the wait of a group that replicas have confirmed in that history."""
        self.told(confirmed=True)
        for future, theirs in group:
            if future.done():
                continue
            if theirs == history:
                future.set_result(None)
            else:
                lost = "the server changed before replicas confirmed the write"
                future.set_exception(ConnectionLost(lost, maybe_executed=True))

    def is_shared(self, history: str) -> bool:
        """Whether the shared connection has the same history. If not, it is made anew."""
        if self.history != history:
            self._on_other()
        return self.history == history

    def told(self, *, confirmed: bool) -> None:
        """Notes whether replicas confirm, and logs where they are lost, and are back."""
        if confirmed and not self.confirmed:
            _log.info("replicas confirm what is written (%d asked for)", self.options.replicas)
        elif self.confirmed and not confirmed:
            _log.warning(
                "replicas do not confirm what is written (%d asked for): submits are answered "
                "UNAVAILABLE until they do",
                self.options.replicas,
            )
        self.confirmed = confirmed

    def _session(self) -> Session:
        return _Rounds(self)

    async def _meet(self, caller: Caller) -> None:
        """Has them confirm a write. On a connection that nobody else uses yet."""
        options = self.options
        await caller.call("EVAL", CONFIRM.source, 1, self.key, CONFIRM_TTL_MS)
        try:
            reply = await caller.call(*options.wait(START_PATIENCE_S))
        except ReplyError as error:
            raise UnsafeServer(_refused(options.sync, error.code)) from error
        if not options.suffices(reply):
            where = " on disk (appendonly yes on them, too)" if options.sync == "disk" else ""
            raise UnsafeServer(
                "the server's durability is ALWAYS, and REPLICATED is asked for: "
                f"{options.replicas} replica(s) must confirm a write{where}, and after "
                f"{START_PATIENCE_S:g} s the server counted {reply}. Attach replicas (replicaof) "
                "and wait until they are online, or lower PENSTOCK_REPLICAS or "
                "PENSTOCK_MIN_DURABILITY"
            )


class _Rounds(Session):
    """One connection, and its rounds, one after the other."""

    def __init__(self, replication: Replication) -> None:
        super().__init__()
        self._replication = replication
        self._replies: list[Any] = []
        self._stirred = asyncio.Event()

    async def serve(self) -> bool:
        """See `Session`."""
        replication = self._replication
        useful = False
        try:
            self.command("INFO", "server")
            (server,) = await self._answers(1, MARGIN_S)
            while not self.lost.is_set():
                await replication.wanted.wait()
                if not await self._round(parse_info(server)):
                    return True
                useful = True
            return useful  # noqa: TRY300 - as where the loss is met in the midst of a round.
        except (ConnectionError, TimeoutError) as error:
            _log.debug("replication: %s", error)
            return useful

    def received(self, reply: Reply) -> None:
        """See `Session`."""
        self._replies.append(reply)
        self._stirred.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        super().connection_lost(exc)
        self._stirred.set()
        self._replication.wanted.set()

    async def _round(self, server: dict[str, str]) -> bool:
        """Serves those who wait. False: this is not where the shared connection leads to."""
        replication = self._replication
        # Half of what each has, so that who comes in the midst of a vain one is in another yet.
        within_s = replication.options.timeout_s / 2
        group = replication.next_group()
        same = True
        try:
            if group:
                self.command("EVAL", CONFIRM.source, 1, replication.key, CONFIRM_TTL_MS)
                self.command(*replication.options.wait(within_s))
                # Behind the wait: were it another history by now, the wait may have been in it.
                self.command("INFO", "replication")
                _, reply, info = await self._answers(3, within_s + MARGIN_S)
                history = history_of(server | parse_info(info))
                if replication.options.suffices(reply):
                    waited, group = group, []
                    replication.settle(waited, history)
                else:
                    replication.told(confirmed=False)
                # Also where too few confirm: a primary that was replaced, and does not know it, has
                # no replicas any more, and would be asked for ever.
                same = replication.is_shared(history)
        finally:
            replication.put_back(group)
        return same

    async def _answers(self, count: int, within_s: float) -> list[Any]:
        """The next replies. Raises TimeoutError, or ConnectionResetError once it is lost."""
        async with asyncio.timeout(within_s):
            while len(self._replies) < count:
                if self.lost.is_set():
                    raise ConnectionResetError("the connection is lost")
                self._stirred.clear()
                await self._stirred.wait()
        answers, self._replies = self._replies, []
        return answers


def _refused(sync: Sync, code: str) -> str:
    if sync == "disk":
        return (
            f"the server refuses WAITAOF ({code}): it needs Redis 7.2 or Valkey 7.2, and the right "
            "+waitaof; or set PENSTOCK_REPLICA_SYNC=memory"
        )
    return f"the server refuses WAIT ({code}): grant +wait, or lower PENSTOCK_MIN_DURABILITY"
