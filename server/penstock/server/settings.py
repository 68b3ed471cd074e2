"""What an operator may set of a gateway."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from penstock.broker import (
    MAX_QUEUE_DEPTH,
    BrokerOptions,
    BrokerSettings,
    Durability,
    ReplicationOptions,
)

__all__ = ["ServerSettings"]

_lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class ServerSettings(BrokerSettings):
    """Settings of a gateway. Names in the environment are ``PENSTOCK_`` + the field's name."""

    section: ClassVar[str | None] = "server"

    listen: str = Field(default="127.0.0.1:50051", min_length=1, max_length=255)
    """Where to serve: host:port (port 0 finds a free one), or unix:/path/to/socket."""

    processes: int = Field(default=1, ge=1, le=1_024)
    """How many gateway processes share the port, each with limits of its own; see operations."""

    reflection: bool = False
    """Whether clients may ask for the contract (gRPC server reflection)."""

    compression: bool = False
    """Whether compressed messages are accepted."""

    policy_file: Annotated[Path, AfterValidator(Path.expanduser)] | None = None
    """A TOML file with the policies of queues, read at the start; none given is none."""

    # Replicas, where PENSTOCK_MIN_DURABILITY is replicated.

    replicas: int = Field(default=1, ge=1, le=100)
    """How many replicas must have what is acknowledged, with the durability replicated."""

    replica_sync: Annotated[Literal["memory", "disk"], _lower] = "memory"
    """Where they must have it: in memory (WAIT), or in their synced append-only file (WAITAOF)."""

    replica_timeout_s: float = Field(default=2.0, ge=0.05, le=5)
    """How long a call waits for replicas before it is answered UNAVAILABLE, in seconds."""

    # Limits of calls.

    max_payload_bytes: int = Field(default=1_048_576, ge=1_024, le=67_108_864)
    """Largest payload of one job, in bytes."""

    max_message_bytes: int = Field(default=4_194_304, ge=65_536, le=268_435_456)
    """Largest message that is received, in bytes; it bounds a batch."""

    max_unary_calls: int = Field(default=2_000, ge=1)
    """Calls with one answer that are worked on at once; more are turned away."""

    max_unary_calls_per_peer: int = Field(default=1_500, ge=1)
    """As max_unary_calls, for one client address; raise it where a proxy calls for all clients."""

    max_streams: int = Field(default=5_000, ge=1)
    """Streams and waits that are open at once; more are turned away."""

    max_streams_per_peer: int = Field(default=2_000, ge=1)
    """As max_streams, for one client address."""

    max_connection_streams: int = Field(default=2_000, ge=1)
    """Calls that one connection may have open at once; more are queued by the client."""

    max_queue_depth: int = Field(default=MAX_QUEUE_DEPTH, ge=0)
    """Jobs that may wait in a queue before submits are refused, if its policy says none; 0: any."""

    max_health_watches: int = Field(default=100, ge=1)
    """Watches of the health service that are open at once."""

    call_budget_s: float = Field(default=5.0, ge=0.1, le=300)
    """How long a call tries to reach Redis when its own deadline is later, in seconds; while Redis
    is known to be away, 1 at most."""

    schema_retention_days: float = Field(default=30.0, ge=1, le=36_500)
    """A schema that no worker has published for so long is forgotten; a type's newest one never."""

    # Streams.

    stream_max_age_s: float = Field(default=900.0, ge=0.1)
    """A stream ends itself at this age, with a cursor to go on from, in seconds."""

    stream_stall_s: float = Field(default=30.0, ge=0.1)
    """A stream whose reader takes nothing for so long is ended, in seconds."""

    stream_backlog: int = Field(default=256, ge=8, le=100_000)
    """Events that are held for a slow reader before it is sent back to the log."""

    max_connection_age_s: float = Field(default=1_800.0, ge=1)
    """A connection is closed gently at this age, so that load spreads, in seconds."""

    # The end.

    shutdown_delay_s: float = Field(default=0.0, ge=0, le=300)
    """Pause between NOT_SERVING and the end of streams, for load balancers, in seconds."""

    shutdown_grace_s: float = Field(default=10.0, ge=0, le=300)
    """How long calls may go on after a stop, in seconds."""

    startup_wait_s: float = Field(default=2.0, ge=0, le=300)
    """How long to wait for Redis before serving without it, in seconds."""

    def broker_options(self, role: str) -> BrokerOptions:
        """See `BrokerSettings`; a gateway has replicas confirm what it acknowledges, if asked to.

        Where the operator asserts that the server replicates by itself, there is none to ask.
        """
        options = super().broker_options(role)
        options = replace(options, max_queue_depth=self.max_queue_depth)
        if self.min_durability != "replicated":
            return options
        if self.assert_durability == "replicated":
            return replace(options, minimum_durability=Durability.REPLICATED)
        asked = ReplicationOptions(self.replicas, self.replica_sync, self.replica_timeout_s)
        return replace(options, replication=asked)
