"""ScheduleService: convert, call the broker, convert. No decision is taken here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from penstock.server import schedule_convert, schedule_requests, submit_convert
from penstock.server.intake import new_request_id
from penstock.server.tokens import open_token, seal_token
from penstock.v1 import schedule_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.broker import Broker, NewSchedule
    from penstock.server.admission import Admission
    from penstock.server.calls import Call
    from penstock.server.intake import Intake

__all__ = ["ScheduleService"]

DEFAULT_PAGE: Final = 100


class ScheduleService:
    """The methods of penstock.v1.ScheduleService; see the contract for what each promises."""

    def __init__(
        self, broker: Broker, intake: Intake, admission: Admission, max_payload_bytes: int
    ) -> None:
        self._broker = broker
        self._schedules = broker.schedules
        self._intake = intake
        self._admission = admission
        self._max_payload_bytes = max_payload_bytes

    # ruff: noqa: N802 - the methods have the names of the contract.

    async def CreateSchedule(
        self, request: pb.CreateScheduleRequest, call: Call
    ) -> pb.CreateScheduleResponse:
        """Stores a schedule."""
        schedule_requests.refuse_bad_schedule(
            request.schedule_id,
            request.spec,
            max_payload=self._max_payload_bytes,
            now_ms=_now_ms(),
        )
        wanted = await self._accepted(request.schedule_id, request.spec, call)
        stored, created = await self._schedules.create(
            wanted, paused=request.paused, budget_s=call.budget_s
        )
        return pb.CreateScheduleResponse(
            schedule=schedule_convert.schedule(stored), created=created
        )

    async def GetSchedule(
        self, request: pb.GetScheduleRequest, call: Call
    ) -> pb.GetScheduleResponse:
        """A schedule as it stands."""
        schedule_requests.refuse_bad_get(request)
        found = await self._schedules.get(request.schedule_id, call.budget_s)
        run_times = request.run_times or schedule_convert.DEFAULT_RUN_TIMES
        return pb.GetScheduleResponse(
            schedule=schedule_convert.schedule(found, run_times=run_times)
        )

    async def ListSchedules(
        self, request: pb.ListSchedulesRequest, call: Call
    ) -> pb.ListSchedulesResponse:
        """One page of schedules."""
        schedule_requests.refuse_bad_list(request)
        listing = ("schedules", request.queue)
        page, position = await self._schedules.list(
            request.queue,
            after=open_token(request.page_token, *listing),
            limit=request.page_size or DEFAULT_PAGE,
            budget_s=call.budget_s,
        )
        return pb.ListSchedulesResponse(
            schedules=[
                schedule_convert.schedule(each, run_times=1, payload=False) for each in page
            ],
            next_page_token=seal_token(position, *listing),
        )

    async def UpdateSchedule(
        self, request: pb.UpdateScheduleRequest, call: Call
    ) -> pb.UpdateScheduleResponse:
        """Replaces the definition."""
        schedule_requests.refuse_bad_update(
            request, max_payload=self._max_payload_bytes, now_ms=_now_ms()
        )
        wanted = await self._accepted(request.schedule_id, request.spec, call)
        stored = await self._schedules.update(
            wanted, version=request.version, budget_s=call.budget_s
        )
        return pb.UpdateScheduleResponse(schedule=schedule_convert.schedule(stored))

    async def PauseSchedule(
        self, request: pb.PauseScheduleRequest, call: Call
    ) -> pb.PauseScheduleResponse:
        """Stops firing."""
        schedule_requests.refuse_bad_id(request.schedule_id)
        found = await self._schedules.pause(request.schedule_id, call.budget_s)
        return pb.PauseScheduleResponse(schedule=schedule_convert.schedule(found))

    async def ResumeSchedule(
        self, request: pb.ResumeScheduleRequest, call: Call
    ) -> pb.ResumeScheduleResponse:
        """Goes on firing."""
        schedule_requests.refuse_bad_id(request.schedule_id)
        found = await self._schedules.resume(request.schedule_id, call.budget_s)
        return pb.ResumeScheduleResponse(schedule=schedule_convert.schedule(found))

    async def DeleteSchedule(
        self, request: pb.DeleteScheduleRequest, call: Call
    ) -> pb.DeleteScheduleResponse:
        """Forgets a schedule."""
        schedule_requests.refuse_bad_id(request.schedule_id)
        deleted = await self._schedules.delete(request.schedule_id, call.budget_s)
        return pb.DeleteScheduleResponse(deleted=deleted)

    async def TriggerSchedule(
        self, request: pb.TriggerScheduleRequest, call: Call
    ) -> pb.TriggerScheduleResponse:
        """Makes a job now."""
        schedule_requests.refuse_bad_trigger(request)
        self._admission.check_room()
        before = self._broker.durability_so_far
        receipt = await self._schedules.trigger(
            request.schedule_id, request.request_id or new_request_id(), call.budget_s
        )
        durability = min(before, self._broker.durability)
        return pb.TriggerScheduleResponse(job=submit_convert.submitted(receipt, durability))

    async def PreviewSchedule(
        self, request: pb.PreviewScheduleRequest, _: Call
    ) -> pb.PreviewScheduleResponse:
        """When a timing would fire, by this gateway's clock."""
        now_ms = _now_ms()
        schedule_requests.refuse_bad_preview(request, now_ms)
        return schedule_convert.preview(request, now_ms)

    async def _accepted(self, schedule_id: str, spec: pb.ScheduleSpec, call: Call) -> NewSchedule:
        job = await self._intake.accept(spec.job, "spec.job", call.budget_s)
        return schedule_convert.new_schedule(schedule_id, spec, job, _now_ms())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
