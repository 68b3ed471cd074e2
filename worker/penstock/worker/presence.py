"""Says which job types this worker handles, what it subscribes to, and that it is alive.

All of it is said again as soon as the server is found to have lost it: after a power cut submits
would otherwise be refused for want of a handler that is there.
"""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, Final

import structlog

from penstock.broker import PenstockError, WorkerInfo
from penstock.broker.registry import REGISTER_EVERY_S
from penstock.runtime import Periodic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.broker import Broker
    from penstock.broker.pipeline import Caller
    from penstock.worker.app import Worker
    from penstock.worker.roster import Roster

__all__ = ["Presence"]

HEARTBEAT_EVERY_S: Final = 10.0

_log: Final = structlog.get_logger(__name__)


class Presence(Periodic):
    """Registers types and subscriptions, and lists this process among the workers.

    Args:
        broker: where to.
        worker_id: of this process.
        queues: that it serves.
        app: its handlers, and the subscriptions that it makes, and never removes.
        roster: its slots.
    """

    def __init__(
        self,
        broker: Broker,
        worker_id: str,
        queues: Sequence[str],
        app: Worker,
        roster: Roster,
    ) -> None:
        super().__init__(interval_s=HEARTBEAT_EVERY_S, name="presence")
        self._broker = broker
        self._worker_id = worker_id
        self._queues = tuple(queues)
        self._handlers = app.handlers
        self._subscriptions = app.subscriptions
        self._subscribed_at = 0
        self._roster = roster
        self._host = socket.gethostname()
        self._started_ms = _now_ms()
        self._register_at_s = 0.0

    async def setup(self) -> None:
        """Registers before the first job is claimed."""
        self._broker.link.on_connect.append(self._reconnected)
        await self._register()
        await self._subscribe()
        await self._broker.registry.heartbeat(self._info())

    async def tick(self) -> None:
        """Says it once more."""
        try:
            if time.monotonic() >= self._register_at_s or await self._is_forgotten():
                await self._register()
            await self._restore_subscriptions()
            await self._broker.registry.heartbeat(self._info())
        except PenstockError as error:
            _log.info("presence not told", error=str(error))

    async def teardown(self) -> None:
        """Takes the worker off the list; if that fails, its entry expires."""
        try:
            await self._broker.registry.forget_worker(self._worker_id, budget_s=1.0)
        except PenstockError as error:
            _log.info("presence not withdrawn", error=str(error))

    async def _reconnected(self, _caller: Caller) -> None:
        # The server may have been restarted without what it was told last.
        self._register_at_s = 0.0
        self.wake()

    async def _is_forgotten(self) -> bool:
        """Whether the server knows a type of this worker no more."""
        return not self._handlers.keys() <= (await self._broker.registry.types()).keys()

    async def _register(self) -> None:
        schemas = {name: handler.payload.schema for name, handler in self._handlers.items()}
        await self._broker.registry.register_types(schemas)
        self._register_at_s = time.monotonic() + REGISTER_EVERY_S

    async def _subscribe(self) -> None:
        # After the types: a gateway that learns of a subscription looks for its schema then.
        for subscription in self._subscriptions:
            _, version = await self._broker.topics.subscribe(subscription)
            self._subscribed_at = max(self._subscribed_at, version)
            if subscription.queue and subscription.queue not in self._queues:
                _log.warning(
                    "not served here: the queue of a subscription",
                    subscription=subscription.name,
                    queue=subscription.queue,
                )

    async def _restore_subscriptions(self) -> None:
        """Makes them again if the server lost them, whoever else has made his by now."""
        if self._subscriptions:
            directory = await self._broker.topics.directory()
            names = (subscription.name for subscription in self._subscriptions)
            if directory.lacks(names, self._subscribed_at):
                await self._subscribe()

    def _info(self) -> WorkerInfo:
        return WorkerInfo(
            worker_id=self._worker_id,
            host=self._host,
            pid=os.getpid(),
            queues=self._queues,
            types=tuple(sorted(self._handlers)),
            slots=self._roster.slots,
            running=self._roster.held,
            draining=self._roster.draining,
            started_ms=self._started_ms,
            heartbeat_ms=_now_ms(),
        )


def _now_ms() -> int:
    return int(time.time() * 1000)
