"""How many jobs may wait in a queue before submits are refused: the ceiling over its depth.

The script that stores a job counts those that wait, so that nobody slips in between. That costs it
a tenth of its time, so it is told to only where the ceiling may be near: while less than half of it
is taken, a look now and then will do, and no submit pays. Whoever has not looked has it counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from penstock.broker.errors import ReplyError
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from asyncio import Future

    from penstock.broker.engine import Engine, QueueInfo
    from penstock.broker.keys import Slot
    from penstock.broker.pipeline import Arg, Reply
    from penstock.broker.policies import Policies

DEPTH = load_script("depth")

#: Jobs that may wait in a queue, unless somebody says otherwise.
MAX_QUEUE_DEPTH: Final = 1_000_000
#: A ceiling so low is always counted for: between two looks, half of it may come in.
COUNTED_BELOW: Final = 20_000
#: How often a slot that is submitted to is looked at (s).
LOOK_EVERY_S: Final = 0.5
#: For how long what was seen is believed (s).
BELIEVED_S: Final = 1.0


@dataclass(slots=True)
class _Look:
    """What was seen last, and when it was asked for (s, by the monotonic clock)."""

    asked_at: float
    seen_at: float = 0.0
    depth: int = 0


class Depths:
    """The ceilings of queues, and how far below them their slots are.

    Args:
        engine: of the process.
        policies: may have a ceiling for a queue.
        limit: of queues that have none there; 0 is no ceiling.
    """

    def __init__(self, engine: Engine, policies: Policies, limit: int) -> None:
        self._engine = engine
        self._policies = policies
        self._limit = limit
        self._looks: dict[Slot, _Look] = {}

    def ceiling(self, queue: QueueInfo, slot: Slot) -> Arg:
        """Most jobs that may wait in a slot, to hold a submit to; b'' where that is far off."""
        share = self._share(queue)
        if share < COUNTED_BELOW:
            return share or b""
        now = time.monotonic()
        look = self._looks.get(slot)
        if look is None or now - look.asked_at > LOOK_EVERY_S:
            look = self._look(slot, now, look)
        if now - look.seen_at < BELIEVED_S and look.depth < share // 2:
            return b""
        return share

    def limit(self, name: str) -> int:
        """Most jobs that may wait in a queue; 0 is any number."""
        return self._policies.max_waiting(name) or self._limit

    def _share(self, queue: QueueInfo) -> int:
        return -(-self.limit(queue.name) // queue.partitions)

    def _look(self, slot: Slot, now: float, last: _Look | None) -> _Look:
        """Asks for the depth of a slot, without waiting for it."""
        look = last or _Look(now)
        look.asked_at = now
        self._looks[slot] = look
        flight = self._engine.link.call(b"EVALSHA", DEPTH.sha1, 1, slot.base)
        flight.add_done_callback(partial(self._seen, look, now))
        return look

    def _seen(self, look: _Look, asked_at: float, flight: Future[Reply]) -> None:
        error = None if flight.cancelled() else flight.exception()
        if error is None and not flight.cancelled():
            look.seen_at, look.depth = asked_at, flight.result()
        elif isinstance(error, ReplyError) and error.code == "NOSCRIPT":
            self._engine.link.send(b"SCRIPT", b"LOAD", DEPTH.source)
