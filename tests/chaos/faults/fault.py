"""A fault of the mixed run: what a nemesis does to a world that is at work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import random

    from tests.chaos.worlds.world import World

__all__ = ["Fault", "InVain"]


class InVain(Exception):  # noqa: N818 - it says what happened.
    """There was nothing to strike: no connection, no entry, no call. It counts as no strike."""


class Fault(ABC):
    """One fault. Stateless: what is chosen by chance is chosen at the strike.

    Attributes:
        name: of the record, such as "a worker is killed".
        rows: of the fault matrix.
        subject: "worker", "gateway", "server", "network", "client" or "data"; two faults with
            different subjects may overlap.
        outage: calls may fail while it lasts, and for a moment after it; else none may.
        displaces: jobs may lose their places by it, until a walk over the records puts them back.
        needs: the shim of the server without which it cannot be; see `Preload`.
        weight: how often it is chosen, relative to the others.
    """

    name: ClassVar[str]
    rows: ClassVar[tuple[int, ...]]
    subject: ClassVar[str]
    outage: ClassVar[bool] = True
    displaces: ClassVar[bool] = False
    needs: ClassVar[str] = ""
    weight: ClassVar[float] = 1.0

    @abstractmethod
    async def strike(self, world: World, chance: random.Random) -> str:
        """Does it, waits for as long as it shall last, and makes whole what it broke.

        Everything is back in place when it returns: processes run, links are open. Recovery is
        measured from that moment on.

        Returns:
            What it was done to, for the history: "worker-3", "gateway-1 for 2.1 s".

        Raises:
            InVain: nothing was done to anything.
        """
