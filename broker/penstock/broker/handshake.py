"""The adapter to redis-py: it opens a connection, and everything we know of its insides is here.

redis-py resolves the URL, dials (TCP, TLS or unix socket), authenticates, names the client and
selects the database. Then its transport is taken over by a protocol of ours, because reading
replies through redis-py costs three to four times as much. None of its retries, health checks and
time-outs reach past this module.
"""

from __future__ import annotations

import asyncio
import math
import socket
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from penstock.broker.errors import Unavailable

_POOL_OPTIONS = ("max_connections", "timeout")  # Of redis-py's pools, which are not used here.


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A Redis node's address, parsed and checked.

    Attributes:
        label: host:port or path, without user and password; fit for logs.
    """

    label: str
    _connection_class: type[AbstractConnection] = field(repr=False)
    _options: dict[str, Any] = field(repr=False)

    def connection(self, *, client_name: str, timeout_s: float) -> AbstractConnection:
        """A redis-py connection to the node, not yet opened, with RESP2 and without retries."""
        # Ours win over the URL's: a query such as ?protocol=3 would let pushes in between replies.
        options = self._options | {
            "client_name": client_name,
            "decode_responses": False,
            "driver_info": DriverInfo(name="penstock", lib_version=None),
            "health_check_interval": 0,
            "protocol": 2,
            "retry": None,
            "retry_on_timeout": False,
            "socket_connect_timeout": timeout_s,
            "socket_timeout": timeout_s,
        }
        return self._connection_class(**options)


def parse_endpoint(url: str) -> Endpoint:
    """Parses a redis://, rediss:// or unix:// URL; its query may hold redis-py's ssl_* options.

    Raises:
        ValueError: the URL is malformed or has an unknown option. The message never quotes the URL,
            which may hold a password.
    """
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError:
        # Not chained: the cause of a bad port quotes what may be part of a password.
        message = "not a Redis URL: expected redis://, rediss:// or unix://, with a numeric port"
        raise ValueError(message) from None
    for name in _POOL_OPTIONS:
        options.pop(name, None)
    connection_class = options.pop("connection_class", Connection)
    label = options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}"
    endpoint = Endpoint(label, connection_class, options)
    try:
        endpoint.connection(client_name="", timeout_s=1.0)
    except (TypeError, ValueError, RedisError) as error:
        known = "see redis-py's connection arguments"
        raise ValueError(f"the Redis URL has an unknown or bad option ({known})") from error
    return endpoint


async def open_connection(
    endpoint: Endpoint,
    protocol: asyncio.Protocol,
    *,
    client_name: str,
    timeout_s: float,
    user_timeout_s: float,
) -> object:
    """Dials the endpoint, performs the handshake and hands the transport to a protocol of ours.

    Args:
        endpoint: where to.
        protocol: takes the transport over; its connection_made is called before this returns.
        client_name: shown by CLIENT LIST.
        timeout_s: bound of the whole handshake, in seconds.
        user_timeout_s: how long sent bytes may stay unacknowledged before the kernel gives the
            connection up (TCP only, where the platform has it), in seconds.

    Returns:
        redis-py's stream objects. Their finalizers close the transport, so whoever uses it must
        hold them for as long.

    Raises:
        Unavailable: the node cannot be reached or refused the handshake.
    """
    connection = endpoint.connection(client_name=client_name, timeout_s=timeout_s)
    task = cast("asyncio.Task[object]", asyncio.current_task())
    cancels = task.cancelling()
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's.
        if task.cancelling() > cancels:
            # Swallowed on the way, by asyncio.wait_for before Python 3.12.
            raise asyncio.CancelledError  # noqa: TRY301 - to be cleaned up after like any other.
        return _take_over(connection, protocol, user_timeout_s)
    except BaseException as error:
        await connection.disconnect(nowait=True)
        # uvloop's transport, once its peer has reset it, refuses writes by a RuntimeError.
        if isinstance(error, (RedisError, OSError, RuntimeError)):
            reason = str(error) or type(error).__name__
            raise Unavailable(f"cannot connect to Redis at {endpoint.label}: {reason}") from error
        raise


def _take_over(
    connection: AbstractConnection, protocol: asyncio.Protocol, user_timeout_s: float
) -> object:
    """Replaces redis-py's protocol on an open connection by ours."""
    reader, writer = connection._reader, connection._writer  # noqa: SLF001 - no public way.
    if reader is None or writer is None or reader.at_eof() or writer.is_closing():
        # The old protocol was told of the end; the new one never would be.
        raise ConnectionResetError("the server closed the connection after the handshake")
    transport = cast("asyncio.Transport", writer.transport)
    _set_user_timeout(transport, user_timeout_s)
    # Every reply of the handshake has been read, and RESP2 without subscriptions sends nothing on
    # its own account: the stream that is left behind holds no bytes of ours.
    transport.set_protocol(protocol)
    protocol.connection_made(transport)
    # From here on redis-py holds nothing that it could close or warn about.
    connection._reader = connection._writer = None  # noqa: SLF001 - no public way.
    return reader, writer


def _set_user_timeout(transport: asyncio.Transport, timeout_s: float) -> None:
    # redis-py has set TCP_NODELAY and keepalive. Keepalive does not run while sent bytes are
    # unacknowledged; this option bounds exactly that.
    sock = transport.get_extra_info("socket")
    if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family in {socket.AF_INET, socket.AF_INET6}:
        milliseconds = math.ceil(timeout_s * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
