"""Schedules, as people read them and as scripts do."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from penstock.cli.asjson import content_json
from penstock.cli.columns import Column, fitted
from penstock.cli.times import ago, isoformat, short
from penstock.client import Content

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from penstock.client import NewJob, Schedule, ScheduleInfo

__all__ = ["schedule_details", "schedule_json", "schedules_table"]


def schedule_json(found: ScheduleInfo) -> dict[str, Any]:
    """Return a schedule."""
    schedule, job = found.schedule, found.schedule.job
    return {
        "schedule_id": found.schedule_id,
        "type": job.type,
        "queue": job.queue,
        "payload": _payload_json(job),
        "cron": schedule.cron or None,
        "time_zone": schedule.time_zone if schedule.cron else None,
        "every_s": _seconds(schedule.every),
        "start_time": isoformat(schedule.start_time),
        "end_time": isoformat(schedule.end_time),
        "jitter_s": _seconds(schedule.jitter),
        "overlap": str(schedule.overlap),
        "catch_up": str(schedule.catch_up),
        "catch_up_limit": schedule.catch_up_limit,
        "tolerance_s": _seconds(schedule.tolerance),
        "note": schedule.note or None,
        "paused": found.paused,
        "unreadable": found.unreadable,
        "version": found.version,
        "next_run_times": [isoformat(time) for time in found.next_run_times],
        "last_job_id": found.last_job_id or None,
        "last_run_time": isoformat(found.last_run_time),
        "fired": found.fired,
        "triggered": found.triggered,
        "skipped": found.skipped,
        "missed": found.missed,
        "create_time": isoformat(found.create_time),
        "update_time": isoformat(found.update_time),
    }


def schedules_table(found: Iterable[ScheduleInfo], width: int) -> Table:
    """Return schedules, one a line, in so many characters."""
    columns = (
        Column("schedule"),
        Column("type", rank=3),
        Column("when", wanted=16),
        Column("next"),
        Column("last", rank=2),
        Column("fired", rank=1, justify="right"),
        Column("skipped", rank=4, justify="right"),
        Column("missed", rank=5, justify="right"),
        Column("note", rank=6, wanted=16),
    )
    rows = [
        (
            Text(each.schedule_id),
            Text(each.schedule.job.type),
            Text(_when(each.schedule)),
            _next(each),
            Text(ago(each.last_run_time)),
            Text(str(each.fired)),
            Text(str(each.skipped)),
            Text(str(each.missed), "red" if each.missed else ""),
            Text(each.schedule.note),
        )
        for each in found
    ]
    return fitted(columns, rows, width)


def schedule_details(found: ScheduleInfo) -> Table:
    """Return all that is known of a schedule, a line each; what does not apply is left out."""
    schedule, job = found.schedule, found.schedule.job
    limit = f", at most {schedule.catch_up_limit}" if schedule.catch_up_limit else ""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    counts = (
        f"{found.fired} fired, {found.triggered} triggered, {found.skipped} skipped, "
        f"{found.missed} missed"
    )
    lines: list[tuple[str, str | Text]] = [
        ("schedule", Text(found.schedule_id, "bold")),
        ("job", f"{job.type}, queue {job.queue}"),
        ("when", _when(schedule)),
        ("from", _moment(schedule.start_time)),
        ("until", _moment(schedule.end_time)),
        ("jitter", short(_span(schedule.jitter)) if schedule.jitter else ""),
        ("overlap", str(schedule.overlap).lower()),
        ("catch up", f"{str(schedule.catch_up).lower()}{limit}"),
        ("next", _next(found)),
        *(("", _moment(time)) for time in found.next_run_times[1:]),
        ("last", f"{_moment(found.last_run_time)} {found.last_job_id}".strip()),
        ("counts", counts),
        ("version", str(found.version)),
        ("note", schedule.note),
    ]
    for name, value in lines:
        if value:
            table.add_row(name, value)
    return table


def _payload_json(job: NewJob) -> Any:  # noqa: ANN401 - JSON is whatever was written.
    if isinstance(job.payload, bytes):
        return content_json(Content(job.payload, job.content_type or ""))
    return job.payload


def _when(schedule: Schedule) -> str:
    if schedule.cron:
        return f"{schedule.cron} ({schedule.time_zone})"
    every = _span(schedule.every)
    return f"every {short(every)}" if every else "unknown"


def _next(found: ScheduleInfo) -> Text:
    if found.paused:
        return Text("paused", "yellow")
    if found.unreadable:
        return Text("unknown to this gateway", "yellow")
    if not found.next_run_times:
        return Text("ended", "dim")
    time = found.next_run_times[0]
    return Text(f"{_moment(time)} ({ago(time)})")


def _moment(time: datetime | None) -> str:
    return "" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def _span(span: timedelta | float | None) -> timedelta | None:
    return span if span is None or isinstance(span, timedelta) else timedelta(seconds=span)


def _seconds(span: timedelta | float | None) -> float | None:
    found = _span(span)
    return None if found is None else found.total_seconds()
