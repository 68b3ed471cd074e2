"""Who takes care of which slot, among all processes that keep house.

Each process beats: it raises its number in a hash in the namespace's slot, and reads all others'.
One whose number has not moved for a while, by the reader's own clock, is taken for gone. From the
ids of those who are there everybody works out by himself, by rendezvous hashing, who takes care of
a slot. Nothing is agreed upon, so nothing can stick: where views differ, a slot has one caretaker
more or less for a moment, and whoever is not on duty looks in now and then all the same.
"""

from __future__ import annotations

import logging
import secrets
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Final

from penstock.broker.errors import ReplyError, Unavailable
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from penstock.broker.engine import Engine
    from penstock.broker.keys import Slot
    from penstock.broker.observer import WatchedClock

BEAT = load_script("beat")

BEAT_EVERY_S: Final = 1.0
#: Who has not beaten for so long is taken for gone (s).
SILENT_S: Final = 3.0
#: Of a list that nobody keeps any more (ms).
LIST_TTL_MS: Final = 60_000
#: Those who visit a slot at the full pace. Two, so that one may vanish at no cost in time.
CARETAKERS: Final = 2

_log = logging.getLogger(__name__)


class Rota:
    """The keepers that this process knows of, itself always among them."""

    def __init__(self, engine: Engine, clock: WatchedClock) -> None:
        self._engine = engine
        self._clock = clock
        self._id = secrets.token_hex(6)
        self._heard: dict[str, tuple[str, float]] = {}  # Last beat, and since when (s).
        self._others: frozenset[str] = frozenset()
        self._ranks: dict[Slot, int] = {}
        self._beats = 0  # As the server counts them.

    @property
    def others(self) -> int:
        """How many keepers there are beside this one."""
        return len(self._others)

    def rank(self, slot: Slot) -> int:
        """Place of this process among those who might take care of a slot.

        It does if the rank is below CARETAKERS; ranks beyond that are not told apart.
        """
        rank = self._ranks.get(slot)
        if rank is None:
            rank = self._ranks[slot] = self._rank(slot)
        return rank

    async def beat(self) -> bool:
        """Says that this process is there, and looks who else is.

        Returns:
            Whether the server has forgotten this process meanwhile, and maybe more than that.

        Raises:
            Unavailable: the server cannot be reached.
        """
        silent = self._silent()
        try:
            flat = await self._engine.run(
                BEAT,
                [self._engine.names.keepers()],
                self._id,
                LIST_TTL_MS,
                *(part for keeper in silent for part in (keeper, self._heard[keeper][0])),
            )
        except Unavailable:
            raise
        except ReplyError:
            # A foreign hand has broken the list: then everybody takes care of everything.
            _log.exception("the list of keepers cannot be kept")
            flat = []
        self._clock.answered()
        beats = {
            keeper.decode("utf-8", "replace"): beat.decode("utf-8", "replace")
            for keeper, beat in zip(flat[::2], flat[1::2], strict=True)
        }
        before, self._beats = self._beats, int(beats.get(self._id, 0))
        self._take_in(beats)
        return self._beats <= before

    async def leave(self) -> None:
        """Says that this process keeps house no more. Raises PenstockError."""
        await self._engine.link.call("HDEL", self._engine.names.keepers(), self._id)

    def forget(self) -> None:
        """Listens to everybody anew: while the server was away, nobody could be heard."""
        now_s = self._clock.now_s
        self._heard = {keeper: (beat, now_s) for keeper, (beat, _) in self._heard.items()}

    def _silent(self) -> list[str]:
        return [keeper for keeper in self._heard if keeper not in self._others]

    def _take_in(self, beats: dict[str, str]) -> None:
        beats.pop(self._id, None)
        now_s = self._clock.now_s
        heard = {}
        for keeper, beat in beats.items():
            last_beat, since_s = self._heard.get(keeper, ("", now_s))
            heard[keeper] = (beat, since_s if beat == last_beat else now_s)
        self._heard = heard
        others = frozenset(
            keeper for keeper, (_, since_s) in heard.items() if now_s - since_s < SILENT_S
        )
        if others != self._others:
            self._others = others
            self._ranks.clear()

    def _rank(self, slot: Slot) -> int:
        mine = _score(self._id, slot)
        better = (None for other in self._others if _score(other, slot) > mine)
        return sum(1 for _ in islice(better, CARETAKERS))


def _score(keeper: str, slot: Slot) -> bytes:
    """Each keeper's claim to a slot: rendezvous hashing gives it to the highest."""
    return blake2b(slot.base, digest_size=8, key=keeper.encode()).digest()
