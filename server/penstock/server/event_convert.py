"""Between the contract and the broker: the messages of a stream. As `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from penstock.broker import Chunk, Gap, LogLine, Progress, StateChange
from penstock.server import job_convert
from penstock.server.convert import STATE_OUT, moment
from penstock.v1.job_service_pb2 import EndOfStream, StreamProgressResponse

if TYPE_CHECKING:
    from penstock.broker import Event, Job

EndReason = Literal["MAX_AGE", "SHUTDOWN", "SLOW_READER"]

_END_OUT: Final = cast(
    "dict[EndReason, EndOfStream.Reason]",
    {reason: EndOfStream.Reason.Value(f"REASON_{reason}") for reason in get_args(EndReason)},
)


def snapshot(found: Job, cursor: int) -> StreamProgressResponse:
    """The first message of a stream. Its range is empty: whoever saw it goes on from cursor."""
    return StreamProgressResponse(
        first_sequence=cursor + 1, last_sequence=cursor, snapshot=job_convert.job(found)
    )


def end(reason: EndReason, cursor: int) -> StreamProgressResponse:
    """The last message of a stream that ends before its job does. Its range is empty, too."""
    return StreamProgressResponse(
        first_sequence=cursor + 1,
        last_sequence=cursor,
        end=EndOfStream(reason=_END_OUT[reason], cursor=cursor),
    )


def event(told: Event, final: Job | None) -> StreamProgressResponse:
    """One message of a stream. final is the job after its terminal event, None for any other."""
    message = StreamProgressResponse(
        first_sequence=told.first_sequence, last_sequence=told.last_sequence
    )
    if told.time_ms:
        message.time.CopyFrom(moment(told.time_ms))
    match told.body:
        case Progress() as body:
            message.progress.CopyFrom(job_convert.progress(body))
        case Chunk(data, attempt):
            message.chunk.data = data
            message.chunk.attempt = attempt
        case LogLine(level, text, attempt):
            message.log.level = level
            message.log.message = text
            message.log.attempt = attempt
        case Gap(lost):
            message.gap.lost = lost
        case StateChange(state, attempt, reason, run_at_ms):
            message.state_change.state = STATE_OUT[state]
            message.state_change.attempt = attempt
            message.state_change.reason = reason
            if run_at_ms is not None:
                message.state_change.run_at.CopyFrom(moment(run_at_ms))
            if final is not None:
                message.state_change.job.CopyFrom(job_convert.job(final))
    return message
