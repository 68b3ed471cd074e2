"""When a schedule fires: occurrences of a cron expression or of an interval, as plain arithmetic.

Times are ms since the epoch. An occurrence is the time that a schedule names; with jitter it fires
a little later. All is worked out from the definition alone, so that all processes find the same.
"""

from __future__ import annotations

import json
from collections import deque
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from hashlib import blake2b
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

if TYPE_CHECKING:
    from collections.abc import Iterator

_CRON_FIELDS: Final = (5, 6)
_FIELDS_TEXT: Final = (
    "it takes five fields (minute, hour, day of month, month, day of week), "
    "or six with seconds first"
)
#: A day beyond all that a definition may name; an expression is read no further (ms).
_END_OF_TIME_MS: Final = 32_503_680_000_000  # The year 3000.


class TimingError(ValueError):
    """A definition makes no sense; the text says why.

    Attributes:
        part: what of it: expression or time_zone.
    """

    def __init__(self, part: str, text: str) -> None:
        super().__init__(text)
        self.part = part


class _CronTimes(CronSim):
    """The library's search, where clocks change by less than an hour, too.

    It goes to the next hour by 3,600 s at a time: after Lord Howe's clocks went back by half an
    hour it would look at the second half of an hour alone, and leave out what is due in the first.
    """

    def advance_hour(self) -> bool:
        if self.dt.hour in self.hours:
            return False
        self.dt = self.dt.replace(minute=0, second=0)
        while self.dt.hour not in self.hours:
            self.tick(seconds=3600 - 60 * self.dt.minute)
            if self.dt.hour == 0:
                break  # The day has to be looked at again.
        return True


@dataclass(frozen=True, slots=True)
class Timing:
    """A recurrence: a cron expression in a time zone, or, where that is '', an interval.

    Attributes:
        cron: the expression, of five or six fields.
        time_zone: its IANA name.
        interval_ms: between two occurrences.
        anchor_ms: the first occurrence of an interval.
        start_ms: nothing occurs before it.
        end_ms: nothing occurs after it.
        jitter_ms: bound of an occurrence's delay.
    """

    cron: str = ""
    time_zone: str = "UTC"
    interval_ms: int = 0
    anchor_ms: int = 0
    start_ms: int | None = None
    end_ms: int | None = None
    jitter_ms: int = 0

    def check(self) -> None:
        """Reads expression and time zone. Raises TimingError."""
        if self.cron:
            zone = zone_of(self.time_zone)
            if (given := len(self.cron.split())) not in _CRON_FIELDS:
                raise TimingError("expression", f"{_FIELDS_TEXT}: found {given}")
            try:
                CronSim(self.cron, datetime.now(zone))
            except CronSimError as error:
                text = f"it is no cron expression: {str(error).lower()}"
                raise TimingError("expression", text) from None

    def after(self, time_ms: int) -> int | None:
        """The first occurrence after a time; None if there is none any more."""
        return next(self.all_after(time_ms), None)

    def all_after(self, time_ms: int) -> Iterator[int]:
        """The occurrences after a time, in order."""
        if self.start_ms is not None:
            time_ms = max(time_ms, self.start_ms - 1)
        end_ms = _END_OF_TIME_MS if self.end_ms is None else self.end_ms
        for occurrence in self._cron_after(time_ms) if self.cron else self._ticks_after(time_ms):
            if occurrence > end_ms:
                return
            yield occurrence

    def latest(self, most: int, time_ms: int, first_ms: int = 0) -> list[int]:
        """The newest occurrences up to a time, and from a first on: most of them, or fewer."""
        if self.end_ms is not None:
            time_ms = min(time_ms, self.end_ms)
        since_ms = max(self._begin_of_latest(most, time_ms, first_ms), first_ms - 1)
        found: deque[int] = deque(maxlen=most)
        for occurrence in self.all_after(since_ms):
            if occurrence > time_ms:
                break
            found.append(occurrence)
        return list(found)

    def count(self, first_ms: int, before_ms: int, most: int) -> int:
        """How many occurrences there are from a time to just before another; counted up to most."""
        count = 0
        for occurrence in islice(self.all_after(first_ms - 1), most):
            if occurrence >= before_ms:
                break
            count += 1
        return count

    def least_distance_ms(self, time_ms: int, most: int) -> int | None:
        """The shortest distance between the next occurrences after a time, of which most are seen.

        None if there are fewer than two.
        """
        pairs = pairwise(islice(self.all_after(time_ms), most))
        return min((later - earlier for earlier, later in pairs), default=None)

    def delay_ms(self, schedule_id: str, occurrence_ms: int) -> int:
        """By how much jitter delays an occurrence of a schedule; always the same."""
        if not self.jitter_ms:
            return 0
        drawn = blake2b(f"{schedule_id} {occurrence_ms}".encode(), digest_size=8).digest()
        return int.from_bytes(drawn, "big") % (self.jitter_ms + 1)

    def _ticks_after(self, time_ms: int) -> Iterator[int]:
        number = max(0, (time_ms - self.anchor_ms) // self.interval_ms + 1)
        while True:
            yield self.anchor_ms + number * self.interval_ms
            number += 1

    def _cron_after(self, time_ms: int) -> Iterator[int]:
        # Where clocks go back, a search that begins in the hour that comes twice may find times of
        # the first one, which are past; where they go forward, it may find one time twice.
        start = datetime.fromtimestamp(time_ms // 1000, zone_of(self.time_zone))
        for moment in _CronTimes(self.cron, start):
            occurrence = round(moment.timestamp()) * 1000
            if occurrence > _END_OF_TIME_MS:
                return
            if occurrence > time_ms:
                yield occurrence
                time_ms = occurrence

    def _begin_of_latest(self, most: int, time_ms: int, first_ms: int) -> int:
        """A time before which the newest occurrences do not begin, and from which they are few."""
        if not self.cron:
            return time_ms - (most + 1) * self.interval_ms
        # Backwards the library tells other times around changes of clocks: only a place to begin.
        start = datetime.fromtimestamp(time_ms // 1000 + 1, zone_of(self.time_zone))
        moments = islice(CronSim(self.cron, start, reverse=True), most + 1)
        floor_ms = max(first_ms, self.start_ms or 0) - 1
        begin_ms = time_ms
        for moment in moments:
            begin_ms = round(moment.timestamp()) * 1000 - 1
            if begin_ms <= floor_ms:
                break
        return max(begin_ms, floor_ms)


def write_timing(timing: Timing) -> str:
    """A timing as it is stored."""
    return json.dumps(asdict(timing), separators=(",", ":"))


@lru_cache(maxsize=16_384)
def read_timing(text: str) -> Timing:
    """A timing as it was stored."""
    return Timing(**json.loads(text))


@lru_cache(maxsize=16_384)
def read_timing_or_none(text: str) -> Timing | None:
    """A timing as it was stored; None if it is none that is known here.

    A newer version may have stored it, or a process with newer data of time zones.
    """
    try:
        timing = read_timing(text)
        timing.check()
    except (TypeError, ValueError):
        return None
    return timing if timing.cron or timing.interval_ms > 0 else None


@lru_cache(maxsize=1_024)
def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises TimingError."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        text = "it is no time zone; write an IANA name such as Europe/Berlin"
        raise TimingError("time_zone", text) from None
