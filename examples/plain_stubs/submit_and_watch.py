"""Submit a job and watch it to its end, over whatever breaks on the way.

Beside ``penstock dev examples.quickstart.app:app``::

    python -m examples.plain_stubs.submit_and_watch greet '{"name": "world"}'

Three rules make it safe: a submit carries a request id, and may then be repeated; a watch
remembers the last sequence it handled, and goes on from there; every stream is cancelled when it
is left, since gRPC goes on with it otherwise.
"""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from typing import TYPE_CHECKING, cast

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from penstock.v1 import job_pb2, job_service_pb2
from penstock.v1.job_service_pb2_grpc import JobServiceStub

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FAILURES = 60  # In a row: about as many seconds at most.
PASSING = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
TERMINAL = {
    job_pb2.JOB_STATE_SUCCEEDED,
    job_pb2.JOB_STATE_FAILED,
    job_pb2.JOB_STATE_CANCELLED,
    job_pb2.JOB_STATE_EXPIRED,
}


def submit(jobs: JobServiceStub, job_type: str, payload: bytes) -> str:
    """Stores a job of JSON, however often that takes, and returns its id."""
    job = job_pb2.JobSpec(
        type=job_type,
        payload=job_pb2.Content(data=payload, content_type="application/json"),
        request_id=str(uuid.uuid4()),  # The same for every try: they all make the same job.
    )
    request = job_service_pb2.SubmitJobRequest(job=job)
    failures = 0
    while True:
        try:
            return jobs.SubmitJob(request, timeout=10).job.job_id
        except grpc.RpcError as error:
            failures += 1
            pause(error, failures)


def watch(jobs: JobServiceStub, job_id: str) -> Iterator[job_service_pb2.StreamProgressResponse]:
    """The events of a job: each once, in order, up to the terminal one."""
    cursor = failures = 0
    while True:
        request = job_service_pb2.StreamProgressRequest(job_id=job_id, after_sequence=cursor)
        stream = jobs.StreamProgress(request)  # Without a deadline: a job takes what it takes.
        try:
            for message in stream:
                failures = 0
                if message.WhichOneof("event") in {"snapshot", "end"}:
                    continue  # They are no events; after an end, another stream goes on.
                cursor = message.last_sequence
                yield message
                if message.state_change.state in TERMINAL:
                    return
            pause(None, failures)
        except grpc.RpcError as error:
            failures += 1
            pause(error, failures)
        finally:
            stream.cancel()


def pause(error: grpc.RpcError | None, failures: int) -> None:
    """Waits before the next try; raises the error if there should be none."""
    if error is not None:
        code = cast("grpc.Call", error).code()  # It is a call, too; gRPC's types do not say so.
        if code not in PASSING or failures == MAX_FAILURES:
            raise error
    # At random, so that the clients of a gateway that restarts do not all come back at once.
    time.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - spread, no secret.


def main(job_type: str, payload: str) -> int:
    """Shows a job's life, and its result. Returns 0 if it succeeded."""
    with grpc.insecure_channel(os.environ.get("PENSTOCK_ADDRESS", "127.0.0.1:50051")) as channel:
        jobs = JobServiceStub(channel)
        job_id = submit(jobs, job_type, payload.encode())
        print(f"submitted {job_id}")
        for message in watch(jobs, job_id):
            match message.WhichOneof("event"):
                case "state_change":
                    change = message.state_change
                    name = job_pb2.JobState.Name(change.state).removeprefix("JOB_STATE_")
                    print(f"{message.last_sequence}: {name} {change.reason}".rstrip())
                    if change.state == job_pb2.JOB_STATE_SUCCEEDED:
                        print(f"result: {change.job.result.data.decode()}")
                        return 0
                case "progress":
                    progress = message.progress
                    print(f"{message.last_sequence}: {progress.current:g} of {progress.total:g}")
                case "chunk":
                    print(f"{message.last_sequence}: {message.chunk.data.decode()!r}")
                case other:
                    print(f"{message.last_sequence}: {other}")
        return 1


def explain(error: grpc.RpcError) -> str:
    """What a refusal says: its status, and a line for each rule that the request breaks."""
    call = cast("grpc.Call", error)
    lines = [f"{call.code().name}: {call.details()}"]
    status = rpc_status.from_call(call)
    for detail in status.details if status else ():
        broken = error_details_pb2.BadRequest()
        if detail.Unpack(broken):
            lines += [f"  {rule.field}: {rule.description}" for rule in broken.field_violations]
    return "\n".join(lines)


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004 - the program, and its two arguments.
        sys.exit("usage: python -m examples.plain_stubs.submit_and_watch TYPE JSON")
    try:
        sys.exit(main(*sys.argv[1:]))
    except grpc.RpcError as refusal:
        sys.exit(explain(refusal))
