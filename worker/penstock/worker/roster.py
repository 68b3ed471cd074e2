"""The attempts that a process holds, and the slots that they take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.worker.attempt import Attempt
from penstock.worker.signals import StopReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker import Grant

__all__ = ["Roster"]


class Roster:
    """Who holds what. Lives in the event loop's thread, but for `attempts`.

    Attributes:
        slots: how many jobs may run at once.
        busy: slots that are taken: by attempts that are held, and by threads that outlived theirs.
        draining: no more jobs are taken on.
        suspect: the attempt that is to run alone, if one is held: it has no slot beside it.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.busy = 0
        self.draining = False
        self.suspect: Attempt | None = None
        self._held: dict[str, Attempt] = {}
        self._wanted = 0
        self._on_room: Callable[[], None] | None = None
        self._on_empty: Callable[[], None] | None = None
        self._on_alone: Callable[[], None] | None = None

    @property
    def free(self) -> int:
        """Slots that are free."""
        return 0 if self.suspect is not None else self.slots - self.busy

    @property
    def held(self) -> int:
        """Attempts that are held."""
        return len(self._held)

    def attempts(self) -> list[Attempt]:
        """All attempts that are held. Any thread may call it: a list of a dict is made at once."""
        return list(self._held.values())

    def find(self, job_id: str) -> Attempt | None:
        """The attempt at a job, if it is held."""
        return self._held.get(job_id)

    def held_in(self, prefix: str) -> list[str]:
        """Ids of the jobs that are held whose ids begin so, as those of one partition do."""
        return [job_id for job_id in self._held if job_id.startswith(prefix)]

    def admit(self, grant: Grant, renewed_s: float) -> Attempt:
        """Takes an attempt on, and a slot for it."""
        attempt = Attempt(grant, renewed_s)
        attempt.draining = self.draining
        earlier = self._held.get(grant.job_id)
        if earlier is not None:
            # A new grant of a job is proof that the lease of the old one is lost.
            earlier.stop(StopReason.LEASE_LOST)
        self._held[grant.job_id] = attempt
        self.busy += 1
        if grant.suspect and self.suspect is None:
            self.suspect = attempt
        return attempt

    def dismiss(self, attempt: Attempt) -> None:
        """Holds an attempt no longer. Its slot is free, unless its thread still runs."""
        job_id = attempt.grant.job_id
        if self._held.get(job_id) is attempt:
            del self._held[job_id]
        if attempt is self.suspect:
            self.suspect = self._on_alone = None
        if attempt.lingering is None:
            self.busy -= 1
        else:
            attempt.lingering.add_done_callback(self._lingerer_ended)
        self._tell_of_room()
        if not self._held and self._on_empty is not None:
            self._on_empty()
        if self.held == 1 and self._on_alone is not None:
            self._on_alone()

    def call_when_free(self, wanted: int, callback: Callable[[], None]) -> None:
        """Calls back once so many slots are free; the latest such wish stands."""
        self._wanted, self._on_room = wanted, callback

    def call_when_alone(self, callback: Callable[[], None]) -> None:
        """Calls back once the suspect is the only attempt that is held."""
        self._on_alone = callback

    def call_when_empty(self, callback: Callable[[], None]) -> None:
        """Calls back whenever the last attempt goes."""
        self._on_empty = callback

    def _lingerer_ended(self, ended: object) -> None:
        del ended
        self.busy -= 1
        self._tell_of_room()

    def _tell_of_room(self) -> None:
        if self._on_room is not None and self.free >= self._wanted:
            callback, self._on_room = self._on_room, None
            callback()
