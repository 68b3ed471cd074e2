"""Durations and times, as people write them and as they read them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

__all__ = ["ago", "duration", "in_zones", "isoformat", "moment", "short"]

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_WHOLE: Final = re.compile(rf"(?:{_PART.pattern})+")
_NUMBER: Final = re.compile(r"\d+(?:\.\d+)?")

_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_DAY_S: Final = 86400


def duration(text: str) -> timedelta:
    """Read a duration: ``1h30m``, ``90s``, ``250ms``; a plain number is seconds.

    Raises:
        ValueError: It is none; the message shows the form.
    """
    written = text.strip().lower()
    try:
        if _NUMBER.fullmatch(written):
            return timedelta(seconds=float(written))
        if _WHOLE.fullmatch(written):
            parts = _PART.findall(written)
            return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in parts))
    except OverflowError:
        raise ValueError(f"{text!r} is too long for a duration") from None
    raise ValueError(f"{text!r} is no duration: write it as 90s, 1h30m, 250ms or 2d")


def moment(text: str) -> datetime:
    """Read a time in ISO 8601; without an offset, it is this machine's local time.

    Raises:
        ValueError: It is none; the message shows the form.
    """
    try:
        return datetime.fromisoformat(text.strip()).astimezone()
    except ValueError:
        raise ValueError(
            f"{text!r} is no time: write it as 2030-01-31T18:00 (local) or 2030-01-31T18:00Z"
        ) from None


def isoformat(time: datetime | None) -> str | None:
    """Return the time in UTC for machines (``2030-01-31T18:00:00.000+00:00``), or None."""
    return None if time is None else time.astimezone(UTC).isoformat(timespec="milliseconds")


def in_zones(time: datetime, zone: str) -> str:
    """Return the time in a zone, and beside it this machine's own where that is another.

    Args:
        time: With an offset.
        zone: In the IANA's words; '' is this machine's, and so is one that it has no data of.
    """
    local = time.astimezone()
    try:
        there = time.astimezone(ZoneInfo(zone)) if zone else local
    except (ZoneInfoNotFoundError, ValueError):
        there = local
    texts = (f"{each:%Y-%m-%d %H:%M:%S %Z}" for each in (there, local))
    return "  ".join(dict.fromkeys(texts))


def short(length: timedelta | float | None) -> str:
    """Return a duration in at most seven characters: ``5 ms``, ``2.4 s``, ``3m05s``, ``1d02h``.

    Args:
        length: A timedelta, or seconds. None, for what did not happen, is a dash.
    """
    if length is None:
        return "-"
    seconds = length.total_seconds() if isinstance(length, timedelta) else length
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S}m{whole % _MINUTE_S:02d}s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S}h{whole % _HOUR_S // _MINUTE_S:02d}m"
    return f"{whole // _DAY_S}d{whole % _DAY_S // _HOUR_S:02d}h"


def ago(time: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago a time was (or, if it is to come, ``in`` how long); a dash for None."""
    if time is None:
        return "-"
    passed = (now or datetime.now(UTC)) - time
    if passed < timedelta(0):
        return f"in {short(-passed)}"
    return f"{short(passed)} ago"
