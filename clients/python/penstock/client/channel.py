"""How a channel to the gateway is set up: address, credentials, options, service config."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Final, TypeAlias

import grpc

#: The environment variable that names the gateway where a client is given no address.
ADDRESS_VARIABLE: Final = "PENSTOCK_ADDRESS"
DEFAULT_ADDRESS: Final = "127.0.0.1:50051"

#: True is TLS with the roots of the system; credentials are for roots of one's own, or mutual TLS.
Secure: TypeAlias = bool | grpc.ChannelCredentials

_MIB: Final = 1024 * 1024
_LOOPBACK: Final = re.compile(r"(ipv[46]:|dns:(///)?)?(localhost|127\.[\d.]+|\[::1\])(:\d+)?$")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the gateway is, and whether the way to it is encrypted.

    Attributes:
        address: any gRPC target: host:port, dns:///host:port, unix:/path, ipv4:1.2.3.4:5,1.2.3.6:5.
        credentials: of TLS; None is plain text.
        repeats: gRPC repeats calls itself. Where the time is limited in which they are to be
            repeated it must not: it knows of deadlines only, and lets one pass in a last pause,
            upon which the error that tells why is lost.
    """

    address: str
    credentials: grpc.ChannelCredentials | None
    repeats: bool = True

    @classmethod
    def of(cls, address: str | None, secure: Secure, *, repeats: bool = True) -> Endpoint:
        """The endpoint that a client was given, else the environment's, else the default."""
        address = address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_ADDRESS
        if isinstance(secure, bool):
            return cls(address, grpc.ssl_channel_credentials() if secure else None, repeats)
        return cls(address, secure, repeats)

    @property
    def options(self) -> tuple[tuple[str, str | int], ...]:
        """Arguments of a channel to it."""
        options = channel_options()
        if _LOOPBACK.match(self.address):
            # gRPC would go through the proxy that http_proxy names, which is on another machine.
            options = (*options, ("grpc.enable_http_proxy", 0))
        return options if self.repeats else (*options, ("grpc.enable_retries", 0))


@cache
def service_config() -> str:
    """The service config that every client should have, as JSON."""
    return files("penstock.client").joinpath("service_config.json").read_text("utf-8")


@cache
def channel_options() -> tuple[tuple[str, str | int], ...]:
    """Arguments of any channel."""
    return (
        ("grpc.primary_user_agent", f"penstock-python/{version('penstock')}"),
        ("grpc.service_config", service_config()),
        # Half-open connections under a silent stream are found by pings. The gateway allows one
        # in 20 s, and answers a flood of them with GOAWAY.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A gateway that is restarted is met again within a second or two; the default is 2 min.
        # In spite of its name, the second is how long one attempt may take.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 5_000),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A page of 1,000 jobs with long failures is larger than gRPC's default of 4 MiB.
        ("grpc.max_receive_message_length", 32 * _MIB),
    )
