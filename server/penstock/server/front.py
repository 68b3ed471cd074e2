"""The gRPC server: its options, what it serves, and the order in which it goes down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import grpc.aio
import structlog
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection

from penstock.server.grpc_log import hush_departures
from penstock.server.hangup import hang_up
from penstock.server.listening import cannot_listen, unix_path
from penstock.v1 import (
    cache_service_pb2,
    job_service_pb2,
    queue_service_pb2,
    schedule_service_pb2,
    topic_service_pb2,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.server.cache_service import CacheService
    from penstock.server.calls import Calls
    from penstock.server.health import Health
    from penstock.server.queue_service import QueueService
    from penstock.server.schedule_service import ScheduleService
    from penstock.server.service import JobService
    from penstock.server.settings import ServerSettings
    from penstock.server.streaming import Streams
    from penstock.server.topic_service import TopicService

__all__ = ["SERVICES", "Front"]

_JOBS: Final = job_service_pb2.DESCRIPTOR.services_by_name["JobService"]
_QUEUES: Final = queue_service_pb2.DESCRIPTOR.services_by_name["QueueService"]
_SCHEDULES: Final = schedule_service_pb2.DESCRIPTOR.services_by_name["ScheduleService"]
_TOPICS: Final = topic_service_pb2.DESCRIPTOR.services_by_name["TopicService"]
_CACHE: Final = cache_service_pb2.DESCRIPTOR.services_by_name["CacheService"]
_HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"]

#: Full names of the services of the contract.
SERVICES: Final = tuple(
    service.full_name for service in (_JOBS, _QUEUES, _SCHEDULES, _TOPICS, _CACHE)
)

#: Clients that ping more often than MIN_PING_S are sent away.
KEEPALIVE_S: Final = 30
KEEPALIVE_TIMEOUT_S: Final = 10
MIN_PING_S: Final = 20
#: Metadata of a call, in bytes: more may be refused; more is refused.
METADATA_SOFT_BYTES: Final = 8_192
METADATA_HARD_BYTES: Final = 16_384
#: Calls that were not begun yet, beyond which gRPC turns them away: they are to meet our limits.
MAX_PENDING: Final = 100_000
#: Longer than a stream lives, so that an ageing connection cuts none.
_AGE_GRACE_S: Final = 60
#: For gRPC to close what is left once all calls have ended (s).
_CLOSE_S: Final = 1.0

_log = structlog.get_logger(__name__)


class Front:
    """Listens, from start() to stop().

    Attributes:
        port: that is listened on; 0 for a unix socket, and before start().
        address: for clients; '' before start().
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        calls: Calls,
        jobs: JobService,
        queues: QueueService,
        schedules: ScheduleService,
        topics: TopicService,
        cache: CacheService,
        health: Health,
        streams: Streams,
        on_closing: Callable[[], None],
        share_port: bool = False,
    ) -> None:
        self._settings = settings
        self._share_port = share_port
        self._handlers = (
            calls.handlers(jobs, _JOBS, long=jobs.LONG),
            calls.handlers(queues, _QUEUES),
            calls.handlers(schedules, _SCHEDULES),
            calls.handlers(topics, _TOPICS),
            calls.handlers(cache, _CACHE),
        )
        self._calls = calls
        self._on_closing = on_closing
        self._health = health
        self._streams = streams
        self._server: grpc.aio.Server | None = None
        self.port = 0
        self.address = ""

    async def start(self) -> None:
        """Begins to serve.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        hush_departures()
        server = grpc.aio.server(options=_options(self._settings, share_port=self._share_port))
        server.add_generic_rpc_handlers(self._handlers)
        server.add_generic_rpc_handlers((self._health.handlers(),))
        if self._settings.reflection:
            names = (*SERVICES, _HEALTH.full_name, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
        listen = self._settings.listen
        try:
            port = server.add_insecure_port(listen)
        except RuntimeError:
            raise cannot_listen(listen) from None
        await server.start()
        self._server = server
        is_unix = unix_path(listen) is not None
        self.port = 0 if is_unix else port
        self.address = listen if is_unix else f"{listen.rpartition(':')[0]}:{port}"
        _log.info("serving", address=self.address)

    async def stop(self) -> None:
        """Says so, lets balancers see it, ends streams with a cursor, lets calls finish, closes.

        From then on each call is answered, or told to come back; none is cancelled.
        """
        server, self._server = self._server, None
        if server is None:
            return
        self._health.close()
        await asyncio.sleep(self._settings.shutdown_delay_s)
        self._calls.close()
        self._on_closing()
        self._streams.shut_down()
        await self._calls.finish(self._settings.shutdown_grace_s)
        await self._health.finish()
        hang_up(unix_path(self._settings.listen) or self.port)
        await server.stop(_CLOSE_S)
        _log.info("stopped serving", address=self.address)


def _options(settings: ServerSettings, *, share_port: bool) -> list[tuple[str, int]]:
    grace_s = settings.stream_max_age_s + _AGE_GRACE_S
    options = {
        "grpc.max_receive_message_length": settings.max_message_bytes,
        # Answers are as large as what was stored under the limits above, and pages of it.
        "grpc.max_send_message_length": -1,
        "grpc.max_metadata_size": METADATA_SOFT_BYTES,
        "grpc.absolute_max_metadata_size": METADATA_HARD_BYTES,
        "grpc.max_concurrent_streams": settings.max_connection_streams,
        # Of gRPC's own, which turns calls away as CANCELLED, without a word when to come back.
        "grpc.server.max_pending_requests": MAX_PENDING,
        "grpc.server.max_pending_requests_hard_limit": MAX_PENDING,
        "grpc.max_connection_age_ms": round(settings.max_connection_age_s * 1000),
        "grpc.max_connection_age_grace_ms": round(grace_s * 1000),
        # Else a forgotten process on the same port could silently take a part of the calls.
        "grpc.so_reuseport": int(share_port),
        "grpc.keepalive_time_ms": KEEPALIVE_S * 1000,
        "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_S * 1000,
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.min_recv_ping_interval_without_data_ms": MIN_PING_S * 1000,
    }
    if not settings.compression:
        options["grpc.compression_enabled_algorithms_bitset"] = 1  # Identity alone.
    return list(options.items())
