"""The gateway: its parts, put together."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import structlog

from penstock.broker import (
    Broker,
    Janitor,
    PolicyReader,
    Repairer,
    Unavailable,
    UnsafeServer,
    Wakeups,
)
from penstock.broker.replication import START_PATIENCE_S
from penstock.runtime import ConfigurationError, Group
from penstock.server.admission import Admission
from penstock.server.cache_service import CacheService
from penstock.server.calls import Calls
from penstock.server.front import SERVICES, Front
from penstock.server.health import Health
from penstock.server.intake import Intake
from penstock.server.policy_file import PolicyFile, read_policies
from penstock.server.queue_service import QueueService
from penstock.server.schedule_service import ScheduleService
from penstock.server.schemas import Schemas
from penstock.server.service import JobService
from penstock.server.streaming import Streams
from penstock.server.topic_intake import TopicIntake
from penstock.server.topic_service import TopicService
from penstock.server.upkeep import Examiner, Gauge, Librarian, Prober
from penstock.server.watching import Hub

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.server.settings import ServerSettings

__all__ = ["Gateway"]

_LOOK_EVERY_S: Final = 0.1
#: Trailing metadata of health checks: names of `Durability`.
DURABILITY_KEY: Final = "penstock-durability"
REACHED_KEY: Final = "penstock-durability-reached"

_log = structlog.get_logger(__name__)


class Gateway:
    """One gateway, inside the running event loop. Use it as an async context manager."""

    def __init__(self, settings: ServerSettings, *, share_port: bool = False) -> None:
        """Puts the parts together; nothing runs yet.

        Args:
            settings: of the gateway. How many processes there are is for others to heed.
            share_port: other processes listen on the same port (SO_REUSEPORT).

        Raises:
            ConfigurationError: no Redis address is configured, or the policy file cannot be used.
        """
        if settings.redis_url is None:
            raise ConfigurationError(
                "no Redis address is configured: set REDIS_URL, or run `penstock dev`, which "
                "brings a server of its own",
                fields=("redis_url",),
            )
        policies = read_policies(settings.policy_file) if settings.policy_file else None
        url = settings.redis_url.get_secret_value()
        self._storage = _Storage(url, settings)
        broker = self._storage.broker
        schemas = Schemas(broker.registry)
        self._admission = Admission(settings)
        self._health = Health(SERVICES, settings.max_health_watches, partial(_levels_of, broker))
        self._hub = Hub(broker, self._storage.wakeups, settings.stream_backlog)
        self._streams = Streams(self._hub, settings)
        intake = Intake(schemas, self._admission, settings.max_payload_bytes)
        self._front = Front(
            settings,
            calls=Calls(self._admission, settings.call_budget_s),
            jobs=JobService(broker, intake, self._streams),
            queues=QueueService(broker, self._admission),
            schedules=ScheduleService(broker, intake, self._admission, settings.max_payload_bytes),
            topics=TopicService(
                broker,
                TopicIntake(broker.topics, schemas, self._admission),
                settings.max_payload_bytes,
            ),
            cache=CacheService(broker),
            health=self._health,
            streams=self._streams,
            on_closing=broker.hurry,
            share_port=share_port,
        )
        # Stopped in reverse: the front goes first, and takes its time.
        self._parts = Group(
            self._storage,
            schemas,
            PolicyReader(broker.policies),
            *([] if policies is None else [PolicyFile(broker, policies)]),
            Janitor(broker.housekeeper),
            Repairer(broker, unasked=True),
            Librarian(broker, settings.schema_retention_days * 86_400),
            self._streams,
            Examiner(broker),
            Prober(broker, self._health, self._admission),
            Gauge(broker, self._admission, settings.memory_high_water),
            self._front,
        )

    @property
    def port(self) -> int:
        """The port that is listened on; 0 for a unix socket."""
        return self._front.port

    @property
    def address(self) -> str:
        """Where clients find it: host:port, or unix:/path."""
        return self._front.address

    async def start(self) -> None:
        """Serves, with or without Redis: it is connected to as soon as it is there.

        Raises:
            UnsafeServer: jobs may not be entrusted to the Redis server that is there.
            ConfigurationError: the address cannot be listened on.
        """
        await self._parts.start()

    async def stop(self) -> None:
        """Ends streams with a cursor, lets calls finish, and leaves nothing behind. Idempotent."""
        await self._parts.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()


def _levels_of(broker: Broker) -> dict[str, str]:
    """The durability that is acknowledged, and what is written now has, for who checks health."""
    reached = broker.durability_reached
    if reached is None:
        return {}
    return {DURABILITY_KEY: broker.durability.name, REACHED_KEY: reached.name}


class _Storage:
    """The connections to Redis, as one part of the gateway."""

    def __init__(self, url: str, settings: ServerSettings) -> None:
        options = settings.broker_options("gateway")
        self._wait_s = settings.startup_wait_s
        if options.replication is not None:  # Who is there, and not fit, is known only after that.
            self._wait_s += START_PATIENCE_S
        self.wakeups = Wakeups(url)
        self.broker = Broker(url, options)

    async def start(self) -> None:
        self.broker.start()
        try:
            await self._connect()
        except BaseException:
            await self.broker.close()
            raise
        await self.wakeups.start()

    async def stop(self) -> None:
        await self.wakeups.stop()
        await self.broker.close()

    async def _connect(self) -> None:
        """Waits for a while; a server that is not fit for jobs is not waited for."""
        loop = asyncio.get_running_loop()
        give_up = loop.time() + self._wait_s
        while True:
            try:
                await self.broker.link.ready(_LOOK_EVERY_S)
            except Unavailable as error:
                if isinstance(error.__cause__, UnsafeServer):
                    raise error.__cause__ from None
                if loop.time() >= give_up:
                    _log.warning("serving without Redis until it is there", reason=str(error))
                    return
            else:
                _log.info("storage", durability=self.broker.durability.name.lower())
                return
