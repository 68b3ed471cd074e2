"""What a gateway does beside answering calls: watching its storage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from penstock.broker import PenstockError, ServerRefused, Unavailable
from penstock.runtime import Periodic
from penstock.server.errors import fault_of

if TYPE_CHECKING:
    from penstock.broker import Broker
    from penstock.server.admission import Admission
    from penstock.server.health import Health

__all__ = ["Examiner", "Gauge", "Librarian", "Prober"]

EXAMINE_EVERY_S: Final = 5.0
PROBE_EVERY_S: Final = 1.0
PROBE_WITHIN_S: Final = 2.0
PRUNE_SCHEMAS_EVERY_S: Final = 3600.0
#: All of it may be cut short at any point: the next process goes on.
STOP_GRACE_S: Final = 0.0

_log = structlog.get_logger(__name__)


class Librarian(Periodic):
    """Forgets the schemas that workers have long ceased to publish."""

    def __init__(self, broker: Broker, retention_s: float) -> None:
        super().__init__(
            interval_s=PRUNE_SCHEMAS_EVERY_S, stop_grace_s=STOP_GRACE_S, expendable=True
        )
        self._registry = broker.registry
        self._retention_s = retention_s

    async def tick(self) -> None:
        """Does it once; every gateway does, and the first to come finds something."""
        try:
            forgotten = await self._registry.prune_schemas(self._retention_s)
        except PenstockError as error:
            _log.debug("schemas not pruned", reason=str(error))
            return
        if forgotten:
            _log.info("schemas forgotten", versions=forgotten)


class Gauge(Periodic):
    """Has submits turned away while the server is nearly full, so that running jobs can end."""

    def __init__(self, broker: Broker, admission: Admission, high_water: float) -> None:
        super().__init__(interval_s=PROBE_EVERY_S, stop_grace_s=STOP_GRACE_S, expendable=True)
        self._memory = broker.memory
        self._admission = admission
        self._high_water = high_water

    async def tick(self) -> None:
        """Looks once."""
        try:
            share = await self._memory.share(PROBE_WITHIN_S)
        except PenstockError as error:
            _log.debug("memory not measured", reason=str(error))
            return
        full = share >= self._high_water
        if full != self._admission.storage_full:
            _log.warning("submits are turned away" if full else "submits are taken", memory=share)
        self._admission.storage_full = full


class Examiner(Periodic):
    """Notices where somebody changes how durable the server is."""

    def __init__(self, broker: Broker) -> None:
        super().__init__(interval_s=EXAMINE_EVERY_S, stop_grace_s=STOP_GRACE_S, expendable=True)
        self._broker = broker

    async def tick(self) -> None:
        """Looks once; without Redis nothing is acknowledged either."""
        try:
            await self._broker.look_again(PROBE_WITHIN_S)
        except PenstockError as error:
            _log.debug("not examined", reason=str(error))


class Prober(Periodic):
    """Ready is a gateway whose storage has just taken a write."""

    def __init__(self, broker: Broker, health: Health, admission: Admission) -> None:
        super().__init__(interval_s=PROBE_EVERY_S, stop_grace_s=STOP_GRACE_S, expendable=True)
        self._broker = broker
        self._health = health
        self._admission = admission
        self._told = ""

    async def tick(self) -> None:
        """Writes once, and says how it went."""
        try:
            await self._broker.probe(PROBE_WITHIN_S)
        except PenstockError as error:
            reason = str(error)
            if self._health.ready or reason != self._told:
                _log.warning("not ready", reason=reason)
                self._health.set_ready(ready=False, reason=_public_reason(error))
            self._told = reason
            self._admission.storage_away = isinstance(error, Unavailable)
        else:
            if not self._health.ready:
                _log.info("ready")
            self._health.set_ready(ready=True)
            self._admission.storage_away = False


def _public_reason(error: PenstockError) -> str:
    """What whoever checks health may know: it names no host, as the log's reason does."""
    return error.verdict if isinstance(error, ServerRefused) else fault_of(error).message
