"""What single lines of a journal say, as `journal` has them."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

from tests.chaos.history.entries import Start
from tests.chaos.history.view import Event, Submit, View, packed

__all__ = ["Look", "event_of", "start_of", "submit_of", "view_of", "work_of"]


class Look(NamedTuple):
    """Who looks at jobs, how, and since when (ns)."""

    began: int
    by: str
    source: str
    op: int = -1
    job: str = ""


def submit_of(at: int, by: str, op: int, item: dict[str, Any]) -> Submit:
    """One job that a call asks for."""
    payload = item.get("payload")
    work = payload.get("work") if isinstance(payload, dict) else None
    return Submit(
        began=at,
        by=by,
        op=op,
        request=item["request"],
        type=sys.intern(item["type"]),
        payload=packed(payload),
        work=str(work or ""),
        ends=tuple(map(sys.intern, item.get("ends") or ())),
        key=item.get("key") or "",
        cache_ms=item.get("cache_ms"),
        delay_ms=item.get("delay_ms") or 0.0,
        deadline_ms=item.get("deadline_ms"),
        max_attempts=item.get("max_attempts"),
    )


def view_of(told: dict[str, Any], look: Look, ended: int) -> View:
    """A job as it was shown."""
    result = told.get("result")
    return View(
        began=look.began,
        ended=ended,
        by=look.by,
        source=look.source,
        op=look.op,
        state=sys.intern(told["state"]),
        reason=told.get("reason") or None,
        attempt=told["attempt"],
        crashes=told["crashes"],
        token=told["token"],
        sequence=told["sequence"],
        cancel=bool(told.get("cancel")),
        result=None if result is None else packed(result),
        cached_from=told.get("cached_from") or "",
    )


def event_of(at: int, by: str, told: dict[str, Any]) -> Event:
    """What a watch told, unless it was a snapshot."""
    return Event(
        at=at,
        by=by,
        op=told["op"],
        first=told["first"],
        last=told["last"],
        state=told.get("state") or None,
        attempt=told.get("attempt") or 0,
        gap=bool(told.get("gap")),
        chunk=told.get("chunk"),
    )


def start_of(at: int, by: str, told: dict[str, Any]) -> Start:
    """A handler that begins."""
    return Start(
        at=at,
        by=by,
        type=sys.intern(told["type"]),
        token=told["token"],
        attempt=told["attempt"],
        payload=work_of(told),
    )


def work_of(told: dict[str, Any]) -> str:
    """What a job is to do, packed; where it comes from is part of it."""
    origin = told.get("origin")
    return packed({**told["payload"], "origin": origin} if origin else told["payload"])
