"""``penstock schedule``: jobs that recur."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from penstock.cli.attempt_options import MaxAttempts
from penstock.cli.connection import with_client
from penstock.cli.faults import CommandError
from penstock.cli.groups import grouped
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, json_wanted, show_found, show_table
from penstock.cli.payloads import JSON_TYPE, read_payload
from penstock.cli.recurring_job import RecurringJob
from penstock.cli.schedule_options import (
    RecurrenceOptions,
    RunTimes,
    ScheduleId,
    ScheduleOptions,
    without_none,
)
from penstock.cli.submit_options import AttemptTimeout, PayloadText, PriorityOption, RequestId

if TYPE_CHECKING:
    from penstock.client import AsyncClient, ScheduleInfo

__all__ = ["schedules"]

schedules = typer.Typer(
    no_args_is_help=True,
    help="Keep schedules: jobs that recur, each occurrence once.\n\n"
    "Example: penstock schedule create nightly report.make --cron '0 3 * * *' "
    "--time-zone Europe/Berlin",
)

_RUN_TIMES: Final = 5


@schedules.command("create")
@grouped
def create(
    schedule_id: ScheduleId,
    job_type: Annotated[str, typer.Argument(metavar="TYPE", help="The job type.")],
    *,
    options: ScheduleOptions,
    paused: Annotated[bool, typer.Option("--paused", help="Do not fire yet.")] = False,
    job: RecurringJob,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Create a schedule; one that is there and defined alike is left as it is.

    Example: penstock schedule create poll inbox.poll --every 30s --overlap skip
    """
    from penstock.client import Schedule

    of_type = job.of_type(job_type)
    options.when.check()
    definition = Schedule(of_type, **options.chosen)
    _tell(
        with_client(
            address,
            lambda client: client.create_schedule(schedule_id, definition, paused=paused),
        )
    )


@schedules.command("update")
@grouped
def update(
    schedule_id: ScheduleId,
    *,
    options: ScheduleOptions,
    payload: PayloadText = None,
    priority: PriorityOption = None,
    attempt_timeout: AttemptTimeout = None,
    max_attempts: MaxAttempts = None,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Change what is given; all else stays as it is.

    Fails if somebody else changes the schedule meanwhile.

    Example: penstock schedule update nightly --cron '30 4 * * *'
    """
    from dataclasses import replace

    options.when.check_change()
    data = read_payload(payload, JSON_TYPE)
    of_job = without_none(
        payload=data,
        content_type=None if data is None else JSON_TYPE,
        priority=priority.value if priority else None,
        timeout=attempt_timeout,
        max_attempts=max_attempts,
    )

    async def work(client: "AsyncClient") -> "ScheduleInfo":
        found = await client.get_schedule(schedule_id)
        job = replace(found.schedule.job, **of_job)
        definition = replace(found.schedule, **options.changes, job=job)
        return await client.update_schedule(schedule_id, definition, version=found.version)

    _tell(with_client(address, work))


@schedules.command("get")
def get(
    schedule_id: ScheduleId,
    *,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Show a schedule: its definition, its next times, and what became of the past ones."""
    _tell(with_client(address, lambda client: client.get_schedule(schedule_id)))


@schedules.command("list")
def list_schedules(
    *,
    queue: Annotated[
        str, typer.Option("--queue", "-q", metavar="NAME", help="Only those of this queue.")
    ] = "",
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """List all schedules by id.

    Example: penstock schedule list --json | jq -r 'select(.missed > 0) | .schedule_id'
    """
    from penstock.cli.schedule_output import schedule_json, schedules_table

    async def work(client: "AsyncClient") -> "list[ScheduleInfo]":
        return [each async for each in client.schedules(queue)]

    found = with_client(address, work)
    show_found(
        found,
        schedule_json,
        lambda width: schedules_table(found, width),
        "no schedule yet: penstock schedule create --help",
    )


@schedules.command("pause")
def pause(
    schedule_id: ScheduleId, *, address: Address = DEFAULT_ADDRESS, json: Json = False
) -> None:
    """Stop firing; jobs that were made already go on."""
    _tell_pause(with_client(address, lambda client: client.pause_schedule(schedule_id)))


@schedules.command("resume")
def resume(
    schedule_id: ScheduleId, *, address: Address = DEFAULT_ADDRESS, json: Json = False
) -> None:
    """Go on firing from now; what came due during the pause is not made up for."""
    _tell_pause(with_client(address, lambda client: client.resume_schedule(schedule_id)))


@schedules.command("delete")
def delete(
    schedule_id: ScheduleId, *, address: Address = DEFAULT_ADDRESS, json: Json = False
) -> None:
    """Forget a schedule; its jobs stay. Repeating it is safe."""
    deleted = with_client(address, lambda client: client.delete_schedule(schedule_id))
    if json_wanted():
        emit({"deleted": deleted, "schedule_id": schedule_id})
    else:
        emit_text(f"{schedule_id} {'is deleted' if deleted else 'is not there (any more)'}")


@schedules.command("trigger")
def trigger(
    schedule_id: ScheduleId,
    *,
    request_id: RequestId = "",
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Make a job of a schedule now, beside its occurrences; prints the job's id.

    Example: penstock watch $(penstock schedule trigger nightly)
    """
    handle = with_client(
        address, lambda client: client.trigger_schedule(schedule_id, request_id=request_id)
    )
    if json_wanted() and handle.submitted is not None:
        from penstock.cli.asjson import submitted_json

        emit(submitted_json(handle.submitted))
    else:
        emit_text(handle.job_id)


@schedules.command("next")
@grouped
def next_times(
    schedule_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="A schedule that there is.")
    ] = None,
    *,
    when: RecurrenceOptions,
    run_times: RunTimes = _RUN_TIMES,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Show when a schedule fires next, or when one would that is not stored.

    Example: penstock schedule next --cron '0 9 * * MON-FRI' --time-zone Europe/Berlin -n 10
    """
    if schedule_id is not None and when.is_chosen:
        raise CommandError("it is either a schedule's ID, or --cron or --every", "give one of them")
    if schedule_id is None:
        when.check()

    async def work(client: "AsyncClient") -> Any:  # noqa: ANN401 - times, and their zone.
        if schedule_id is not None:
            found = await client.get_schedule(schedule_id, run_times=run_times)
            zone = found.schedule.time_zone if found.schedule.cron else ""
            return found.next_run_times, zone
        times = await client.preview_schedule(
            cron=when.cron or "",
            time_zone=when.time_zone or "UTC",
            every=when.every,
            start_time=when.start,
            end_time=when.end,
            run_times=run_times,
        )
        return times, (when.time_zone or "UTC") if when.cron else ""

    times, zone = with_client(address, work)
    from penstock.cli.times import ago, in_zones, isoformat

    for time in times:
        if json_wanted():
            emit({"run_time": isoformat(time)})
        else:
            emit_text(f"{in_zones(time, zone)}  {ago(time)}")


def _tell(schedule: "ScheduleInfo") -> None:
    if json_wanted():
        from penstock.cli.schedule_output import schedule_json

        emit(schedule_json(schedule))
        return
    from penstock.cli.schedule_output import schedule_details

    show_table(lambda _width: schedule_details(schedule))


def _tell_pause(schedule: "ScheduleInfo") -> None:
    if json_wanted():
        _tell(schedule)
    else:
        emit_text(f"{schedule.schedule_id} {'is paused' if schedule.paused else 'fires'}")
