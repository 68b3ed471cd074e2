"""What those who have schedules ask of a gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.from_wire import submitted_of, time_of
from penstock.client.job_calls import AsyncJobCalls
from penstock.client.new_job import NewJob
from penstock.client.schedule import Schedule
from penstock.client.schedule_wire import schedule_of, spec_to_wire, timing_to_wire
from penstock.client.to_wire import new_request_id
from penstock.v1 import schedule_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from penstock.client.handle import AsyncJobHandle
    from penstock.client.schedule import ScheduleInfo
    from penstock.client.spans import Span


class AsyncScheduleCalls(AsyncJobCalls):
    """The part of `AsyncClient` that is about schedules.

    Every method raises StatusError, most likely NotFound. ``rpc_timeout`` is the time for all tries
    of a call together, in seconds; None is the client's own. All calls may be repeated.
    """

    async def create_schedule(
        self,
        schedule_id: str,
        schedule: Schedule,
        *,
        paused: bool = False,
        rpc_timeout: float | None = None,
    ) -> ScheduleInfo:
        """Stores a schedule; one that is defined alike is answered as it stands.

        Args:
            schedule_id: names it: 1 to 128 letters, digits, and . _ - between them.
            schedule: what recurs, and when.
            paused: store it without firing, until resume_schedule().
            rpc_timeout: for all tries together, in seconds; None is the client's own.

        Raises:
            AlreadyExists: there is one of this id with another definition.
            InvalidRequest: a field breaks a rule; it would never fire, for one.
            FailedPrecondition: no worker ever registered the job's type.
        """
        request = pb.CreateScheduleRequest(
            schedule_id=schedule_id, spec=spec_to_wire(schedule), paused=paused
        )
        method = self._rpc.stubs.schedules.CreateSchedule
        answer = await self._rpc.call(method, request, rpc_timeout)
        return schedule_of(answer.schedule, created=answer.created)

    async def get_schedule(
        self, schedule_id: str, *, run_times: int = 5, rpc_timeout: float | None = None
    ) -> ScheduleInfo:
        """A schedule as it stands, with so many of its next times (1 to 100)."""
        request = pb.GetScheduleRequest(schedule_id=schedule_id, run_times=run_times)
        method = self._rpc.stubs.schedules.GetSchedule
        return schedule_of((await self._rpc.call(method, request, rpc_timeout)).schedule)

    async def schedules(
        self, queue: str = "", *, rpc_timeout: float | None = None
    ) -> AsyncIterator[ScheduleInfo]:
        """All schedules by id, without the payloads of their jobs, fetched page by page.

        Args:
            queue: of their jobs; '' is all.
            rpc_timeout: of each page.
        """
        token = ""
        while True:
            request = pb.ListSchedulesRequest(queue=queue, page_token=token)
            method = self._rpc.stubs.schedules.ListSchedules
            page = await self._rpc.call(method, request, rpc_timeout)
            for each in page.schedules:
                yield schedule_of(each)
            token = page.next_page_token
            if not token:
                return

    async def update_schedule(
        self,
        schedule_id: str,
        schedule: Schedule,
        *,
        version: int = 0,
        rpc_timeout: float | None = None,
    ) -> ScheduleInfo:
        """Replaces the definition; counts, pause and last run stay.

        Args:
            schedule_id: of the schedule.
            schedule: the new definition, of a job in the same queue.
            version: that is replaced; 0 is whichever there is.
            rpc_timeout: for all tries together, in seconds; None is the client's own.

        Raises:
            FailedPrecondition: the version is another, or the queue.
        """
        request = pb.UpdateScheduleRequest(
            schedule_id=schedule_id, spec=spec_to_wire(schedule), version=version
        )
        method = self._rpc.stubs.schedules.UpdateSchedule
        return schedule_of((await self._rpc.call(method, request, rpc_timeout)).schedule)

    async def pause_schedule(
        self, schedule_id: str, *, rpc_timeout: float | None = None
    ) -> ScheduleInfo:
        """Stops firing; jobs that were made already go on."""
        request = pb.PauseScheduleRequest(schedule_id=schedule_id)
        method = self._rpc.stubs.schedules.PauseSchedule
        return schedule_of((await self._rpc.call(method, request, rpc_timeout)).schedule)

    async def resume_schedule(
        self, schedule_id: str, *, rpc_timeout: float | None = None
    ) -> ScheduleInfo:
        """Goes on with the next occurrence from now; what came due meanwhile is not made up for."""
        request = pb.ResumeScheduleRequest(schedule_id=schedule_id)
        method = self._rpc.stubs.schedules.ResumeSchedule
        return schedule_of((await self._rpc.call(method, request, rpc_timeout)).schedule)

    async def delete_schedule(self, schedule_id: str, *, rpc_timeout: float | None = None) -> bool:
        """Forgets a schedule; its jobs stay. Tells whether there was one (still)."""
        request = pb.DeleteScheduleRequest(schedule_id=schedule_id)
        method = self._rpc.stubs.schedules.DeleteSchedule
        deleted: bool = (await self._rpc.call(method, request, rpc_timeout)).deleted
        return deleted

    async def trigger_schedule(
        self,
        schedule_id: str,
        *,
        request_id: str = "",
        rpc_timeout: float | None = None,
    ) -> AsyncJobHandle:
        """Makes a job of a schedule now, beside its occurrences, also of a paused one.

        Args:
            schedule_id: of the schedule.
            request_id: as of a submit; '' draws a random one.
            rpc_timeout: for all tries together, in seconds; None is the client's own.
        """
        request_id = request_id or new_request_id()
        request = pb.TriggerScheduleRequest(schedule_id=schedule_id, request_id=request_id)
        method = self._rpc.stubs.schedules.TriggerSchedule
        answer = await self._rpc.call(method, request, rpc_timeout)
        return self._hand_out(submitted_of(answer.job, request_id))

    async def preview_schedule(
        self,
        *,
        cron: str = "",
        time_zone: str = "UTC",
        every: Span | None = None,
        start_time: datetime | None = None,
        end_time: datetime | None = None,
        run_times: int = 5,
        rpc_timeout: float | None = None,
    ) -> tuple[datetime, ...]:
        """When a schedule would fire. Arguments are as of `Schedule`; nothing is stored.

        Returns:
            The next times, so many (1 to 100), or fewer if it ends before.
        """
        tried = Schedule(
            NewJob(""),
            cron=cron,
            time_zone=time_zone,
            every=every,
            start_time=start_time,
            end_time=end_time,
        )
        request = pb.PreviewScheduleRequest(timing=timing_to_wire(tried), run_times=run_times)
        method = self._rpc.stubs.schedules.PreviewSchedule
        answer = await self._rpc.call(method, request, rpc_timeout)
        return tuple(map(time_of, answer.run_times))
