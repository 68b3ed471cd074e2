"""Schedules by a client of which every call goes into the journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from penstock.client import Backoff, NewJob, Schedule
from tests.chaos.load.plan import QUEUE, ends_of
from tests.chaos.load.recorder import Recorder, receipt_of
from tests.chaos.load.topic_calls import ATTEMPTS, EPOCH

if TYPE_CHECKING:
    from datetime import datetime

    from penstock.client import ScheduleInfo
    from tests.chaos.load.plan import Plan

__all__ = ["Recurrence", "ScheduleCalls"]

_QUICK: Final = Backoff(0.1, 1.0)


@dataclass(frozen=True)
class Recurrence:
    """The definition of a schedule, as it is journalled and sent.

    Attributes:
        type: of its jobs.
        payload: what each of them is to do.
        step_ms: between two occurrences.
        first_ms: the date of one of them; None is on the second, by a cron expression.
        start_ms: no occurrence is before it.
        end_ms: nor after it.
        overlap, catch_up: its policies, by their names.
        limit: of catching up with all.
        tolerance_s: how late an occurrence may be.
    """

    type: str
    payload: Plan
    step_ms: int
    first_ms: int | None
    start_ms: int
    end_ms: int
    overlap: str
    catch_up: str
    limit: int
    tolerance_s: int

    @property
    def spec(self) -> dict[str, object]:
        """As the history tells it."""
        return {
            "type": self.type,
            "payload": self.payload,
            "ends": ends_of(self.payload, {}),
            "max_attempts": ATTEMPTS,
            "step_ms": self.step_ms,
            "first_ms": self.first_ms or 0,
            "start_ms": self.start_ms,
            "end_ms": self.end_ms,
            "overlap": self.overlap,
            "catch_up": self.catch_up,
            "limit": self.limit,
            "tolerance_ms": self.tolerance_s * 1000,
        }

    @property
    def schedule(self) -> Schedule:
        """As the client takes it."""
        job = NewJob(self.type, self.payload, queue=QUEUE, max_attempts=ATTEMPTS, backoff=_QUICK)
        when: dict[str, Any] = {"every": timedelta(milliseconds=self.step_ms)}
        if self.first_ms is None:
            when = {"cron": f"*/{self.step_ms // 1000} * * * * *"}
        return Schedule(
            job,
            **when,
            start_time=_moment(self.start_ms),
            end_time=_moment(self.end_ms),
            overlap=self.overlap,
            catch_up=self.catch_up,
            catch_up_limit=self.limit,
            tolerance=self.tolerance_s,
        )


class ScheduleCalls(Recorder):
    """Calls about schedules in the name of a process."""

    async def create_schedule(self, name: str, what: Recurrence, *, paused: bool = False) -> None:
        """Stores one."""
        async with self._call("create", schedule=name, spec=what.spec, paused=paused) as answer:
            info = await self._client.create_schedule(name, what.schedule, paused=paused)
            answer.update(_shown(info))

    async def update_schedule(self, name: str, what: Recurrence) -> None:
        """Replaces its definition."""
        async with self._call("update", schedule=name, spec=what.spec) as answer:
            answer.update(_shown(await self._client.update_schedule(name, what.schedule)))

    async def pause_schedule(self, name: str) -> None:
        """Stops it."""
        async with self._call("pause", schedule=name) as answer:
            answer.update(_shown(await self._client.pause_schedule(name)))

    async def resume_schedule(self, name: str) -> None:
        """Has it go on."""
        async with self._call("resume", schedule=name) as answer:
            answer.update(_shown(await self._client.resume_schedule(name)))

    async def get_schedule(self, name: str) -> None:
        """Looks at it."""
        async with self._call("get", schedule=name) as answer:
            answer.update(_shown(await self._client.get_schedule(name)))

    async def delete_schedule(self, name: str) -> None:
        """Forgets it."""
        async with self._call("delete", schedule=name) as answer:
            answer["deleted"] = await self._client.delete_schedule(name)

    async def schedule_ids(self) -> list[str]:
        """Of all that there are; that is in no journal."""
        return [info.schedule_id async for info in self._client.schedules()]

    async def trigger_schedule(self, name: str, request: str) -> str:
        """Makes a job of it now. Returns its id."""
        async with self._call("trigger", schedule=name, request=request) as answer:
            handle = await self._client.trigger_schedule(name, request_id=request)
            answer.update(receipt_of(handle))
        return handle.job_id


def _moment(date_ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=date_ms)


def _shown(info: ScheduleInfo) -> dict[str, object]:
    next_one = info.next_run_times[0] if info.next_run_times else None
    return {
        "paused": info.paused,
        "next_ms": None if next_one is None else (next_one - EPOCH) // timedelta(milliseconds=1),
        "fired": info.fired,
        "triggered": info.triggered,
        "skipped": info.skipped,
        "missed": info.missed,
    }
