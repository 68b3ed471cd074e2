"""Has records walked over in the background: at once where jobs are missing, and now and then."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from penstock.broker.errors import Unavailable
from penstock.runtime import Periodic

if TYPE_CHECKING:
    from penstock.broker.broker import Broker
    from penstock.broker.pipeline import Caller

#: The walks that nobody asked for: not all that can be lost is seen to be missing.
WALK_EVERY_S: Final = 600.0
#: Longer than the mark that keeps processes from walking at once.
WALK_AGAIN_S: Final = 75.0
#: After a walk that failed; the link has told why (s).
RETRY_WALK_S: Final = 1.0
#: A walk may be cut short at any point: the next process walks.
STOP_GRACE_S: Final = 0.0

_log = logging.getLogger(__name__)


class Repairer(Periodic):
    """Puts back what the server may have lost.

    Args:
        broker: of this process.
        unasked: walks every so often, and after each reconnect, too. As gateways do, not workers.
    """

    def __init__(self, broker: Broker, *, unasked: bool) -> None:
        super().__init__(interval_s=WALK_EVERY_S, stop_grace_s=STOP_GRACE_S, expendable=True)
        self._reconciler = broker.reconciler
        self._unasked = unasked
        self._reconnected = False
        if unasked:
            broker.link.on_connect.append(self._on_connect)

    async def setup(self) -> None:
        """Takes calls for a walk."""
        self._reconciler.wake = self.wake

    async def teardown(self) -> None:
        """Takes none any more."""
        self._reconciler.wake = None

    async def tick(self) -> float | None:
        """Walks over all records once, if there is a reason to."""
        if not (self._unasked or self._reconciler.wanted):
            return None
        # A walk that another process began before the reconnect may have stood in for this one.
        again, self._reconnected = self._reconnected, False
        try:
            await self._reconciler.walk()
        except BaseException as error:
            self._reconnected |= again
            if not isinstance(error, Unavailable):
                raise
            _log.debug("no walk: %s", error)
            return RETRY_WALK_S
        return WALK_AGAIN_S if again else None

    async def _on_connect(self, _: Caller) -> None:
        self._reconnected = True
        self.wake()
