"""What an operator may set of any process that talks to Redis: gateways and workers alike."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from penstock.broker.broker import BrokerOptions
from penstock.broker.housekeeper import MAX_CRASHES, MAX_RETAINED
from penstock.broker.ids import MAX_PARTITIONS
from penstock.broker.server_check import Durability
from penstock.runtime import RedisSettings

__all__ = ["BrokerSettings"]

Level = Literal["none", "everysec", "always", "replicated"]

_lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class BrokerSettings(RedisSettings):
    """Settings of a process with a broker. Set them alike for all processes of a namespace."""

    min_durability: Annotated[Level, _lower] = "everysec"
    """The least that an acknowledged submit is to survive: none, everysec, always or replicated."""

    assert_durability: Annotated[Literal["everysec", "always", "replicated"], _lower] | None = None
    """The server's durability as the operator knows it, where the server denies CONFIG GET."""

    partitions: int = Field(default=1, ge=1, le=MAX_PARTITIONS)
    """Partitions of queues that this process is the first to use; fixed for a queue's life."""

    idempotency_ttl_s: int = Field(default=86_400, ge=60, le=31_622_400)
    """How long an idempotency key stands for its job, in seconds."""

    max_crashes: int = Field(default=MAX_CRASHES, ge=1, le=100)
    """A job whose workers vanished so often is quarantined; before the last time, it runs alone."""

    max_retained: int = Field(default=MAX_RETAINED, ge=0)
    """Ended jobs that a partition keeps for each terminal state."""

    memory_high_water: float = Field(default=0.8, gt=0, le=1)
    """Submits are refused, and schedules wait, once so much of the server's maxmemory is used."""

    coalesce_ms: float = Field(default=3.0, ge=0, le=20)
    """How long a command to Redis waits for company at high rates, in milliseconds; 0: never."""

    def broker_options(self, role: str) -> BrokerOptions:
        """Options of a broker for one of the process's connections, named by its role."""
        asserted = self.assert_durability
        return BrokerOptions(
            namespace=self.namespace,
            partitions=self.partitions,
            # That replicas have a write is no matter of the server alone: gateways ask them.
            minimum_durability=min(Durability[self.min_durability.upper()], Durability.ALWAYS),
            asserted_durability=Durability[asserted.upper()] if asserted else None,
            idempotency_ttl_ms=self.idempotency_ttl_s * 1000,
            max_crashes=self.max_crashes,
            max_retained=self.max_retained,
            memory_high_water=self.memory_high_water,
            client_name=f"penstock-{role}",
            coalesce_ms=self.coalesce_ms,
        )
