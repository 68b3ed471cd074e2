"""Who takes part in a life: gateways and workers made of the product's own parts, and callers.

Of a worker it is all but its threads and the reader of its bell; of a gateway, all that stands
between the contract's types and the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self
from unittest import mock

import penstock.broker.broker
import penstock.worker.service
from penstock.broker import Broker, BrokerOptions, PenstockError, Repairer
from penstock.broker.janitor import Janitor
from penstock.broker.keys import NamespaceKeys
from penstock.broker.policies import PolicyReader
from penstock.runtime import Group
from penstock.server.watching import Hub
from penstock.worker.heartbeat import Heartbeat
from penstock.worker.service import WorkerService
from penstock.worker.settings import WorkerSettings
from tests.simulation.clock import PROCESS, Process

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Mapping

    from penstock.broker.pipeline import Reply
    from penstock.worker import Worker
    from tests.simulation.wire import Command, Link, Network

__all__ = ["URL", "Bells", "GatewayActor", "Hearing", "WorkerActor", "in_place"]

URL = "redis://simulated:6379/0"


class Bells:
    """Carries hints from the bells in the server to the workers that listen, and loses some."""

    def __init__(self, network: Network, chance: random.Random, loss: float) -> None:
        self._network = network
        self._chance = chance
        self.loss = loss
        self._bells: list[Bell] = []
        self._hearings: list[Hearing] = []

    def executed(self, command: Command, script: str, reply: Reply) -> None:
        """Whenever a ring was executed, or a cancel told."""
        told = script == "ring" and reply
        if told or command.args[0] in {"LPUSH", b"LPUSH"}:
            for bell in list(self._bells):
                self._pass_on(bell)

    def wake(self, tail: str) -> None:
        """Something happened to a job: tells those who watch it."""
        for hearing in self._hearings:
            if self._chance.random() >= self.loss:
                hearing.hear(tail, self._chance.expovariate(1000))

    def bell(
        self,
        _url: str,
        _namespace: str,
        worker_id: str,
        *,
        on_jobs: Callable[[str, int], None],
        on_cancel: Callable[[str], None],
    ) -> Bell:
        """What stands in for a `BellReader`."""
        return Bell(self, worker_id, on_jobs, on_cancel)

    def hearing(self) -> Hearing:
        """What stands in for `Wakeups`."""
        hearing = Hearing()
        self._hearings.append(hearing)
        return hearing

    def attach(self, bell: Bell) -> None:
        self._bells.append(bell)

    def detach(self, bell: Bell) -> None:
        with contextlib.suppress(ValueError):
            self._bells.remove(bell)

    def _pass_on(self, bell: Bell) -> None:
        key = bell.key()
        hints = self._network.server.ask("LRANGE", key, 0, -1)
        if hints:
            self._network.server.ask("DEL", key)
            if self._chance.random() >= self.loss:
                bell.hear(hints, self._chance.expovariate(1000))


class Bell:
    """One worker's bell."""

    def __init__(
        self,
        bells: Bells,
        worker_id: str,
        on_jobs: Callable[[str, int], None],
        on_cancel: Callable[[str], None],
    ) -> None:
        self._bells = bells
        self._worker_id = worker_id
        self._on_jobs = on_jobs
        self._on_cancel = on_cancel
        self._context = copy_context()

    async def start(self) -> None:
        """Listens."""
        self._context = copy_context()
        self._bells.attach(self)

    async def stop(self) -> None:
        """Listens no more."""
        self._bells.detach(self)

    def key(self) -> bytes:
        """Where its hints are."""
        return NamespaceKeys("default").bell(self._worker_id)

    def hear(self, hints: list[bytes], after_s: float) -> None:
        """Hints come in."""
        loop = asyncio.get_running_loop()
        loop.call_later(after_s, self._heard, hints, context=self._context)

    def _heard(self, hints: list[bytes]) -> None:
        for hint in hints:
            text = hint.decode()
            if text.startswith("!"):
                self._on_cancel(text[1:])
            else:
                code, _, partition = text.partition(":")
                self._on_jobs(code, int(partition))


class Hearing:
    """The wake-ups of one gateway."""

    def __init__(self) -> None:
        self._callbacks: dict[str, dict[Callable[[], None], None]] = {}
        self._context = copy_context()

    def listen(self, channel: bytes, callback: Callable[[], None]) -> None:
        """See `Wakeups.listen`."""
        self._callbacks.setdefault(channel.decode().rpartition(":")[2], {})[callback] = None

    def unlisten(self, channel: bytes, callback: Callable[[], None]) -> None:
        """See `Wakeups.unlisten`."""
        self._callbacks.get(channel.decode().rpartition(":")[2], {}).pop(callback, None)

    def hear(self, tail: str, after_s: float) -> None:
        """Somebody published to the channel of a job."""
        loop = asyncio.get_running_loop()
        for callback in self._callbacks.get(tail, ()):
            loop.call_later(after_s, callback, context=self._context)


class _Heartbeat(Heartbeat):
    """The product's, in a task of its own in place of a thread of its own."""

    _task: asyncio.Task[None]

    async def start(self) -> None:
        """See `Heartbeat.start`."""
        self._home = asyncio.get_running_loop()
        running = self._home.create_future()
        process = PROCESS.get()
        assert process is not None
        self._task = process.thread().start(self._run(running))
        self._stop = await running

    async def stop(self) -> None:
        """See `Heartbeat.stop`."""
        if self._stop is not None:
            self._stop()
            await self._task


@contextlib.contextmanager
def in_place(network: Network, bells: Bells) -> Iterator[None]:
    """Has the product's parts use the network of a run."""
    with (
        mock.patch.object(penstock.broker.broker, "RedisLink", network.link),
        mock.patch.object(penstock.worker.service, "BellReader", bells.bell),
        mock.patch.object(penstock.worker.service, "Heartbeat", _Heartbeat),
    ):
        yield


class _Actor:
    """A process of the product.

    Attributes:
        process: what it is killed by.
        ready: set once it has started.
    """

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self.process = Process(name)
        self.ready = asyncio.Event()
        self._leave = asyncio.Event()
        self._task: asyncio.Task[Any] | None = None

    @property
    def links(self) -> list[Link]:
        """Its connections."""
        return [link for link in self._network.links if link.by == self.process.name]

    def start(self) -> Self:
        """Begins its life."""
        self._task = self.process.start(self._live())
        return self

    def kill(self) -> None:
        """As by SIGKILL."""
        self.process.kill()
        for link in self.links:
            link.abandon()

    def leave(self) -> None:
        """As by SIGTERM."""
        self._leave.set()

    async def left(self) -> None:
        """Returns once it has gone."""
        assert self._task is not None
        await asyncio.wait([self._task])

    async def _live(self) -> None:
        raise NotImplementedError


class GatewayActor(_Actor):
    """A gateway without its front.

    Attributes:
        broker: of callers.
        hub: of watchers.
    """

    def __init__(
        self, network: Network, bells: Bells, name: str, partitions: int, most_waiting: int
    ) -> None:
        super().__init__(network, name)
        token = PROCESS.set(self.process)
        try:
            options = BrokerOptions(partitions=partitions, max_queue_depth=most_waiting)
            self.broker = Broker(URL, options)
            self.hub = Hub(self.broker, bells.hearing(), backlog=8)  # type: ignore[arg-type]
        finally:
            PROCESS.reset(token)

    async def _live(self) -> None:
        self.broker.start()
        parts = Group(
            PolicyReader(self.broker.policies),
            Janitor(self.broker.housekeeper),
            Repairer(self.broker, unasked=True),
        )
        async with parts:
            self.ready.set()
            await self._leave.wait()
        await self.broker.close()


class WorkerActor(_Actor):
    """A worker process."""

    def __init__(
        self, network: Network, name: str, app: Worker, settings: Mapping[str, object]
    ) -> None:
        super().__init__(network, name)
        self._app = app
        self._settings = WorkerSettings.model_validate({"redis_url": URL, **settings})

    async def _live(self) -> None:
        while not self._leave.is_set():
            # One that finds no server at its start ends; whoever runs it starts it again.
            with contextlib.suppress(PenstockError):
                async with WorkerService(self._app, self._settings):
                    self.ready.set()
                    await self._leave.wait()
            await asyncio.sleep(1.0)
