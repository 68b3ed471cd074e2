"""``penstock submit``: one job, or one for each line of a file."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.faults import CommandError
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json, Timeout
from penstock.cli.payloads import JSON_TYPE
from penstock.cli.submit_options import (
    AllowUnregistered,
    AttemptTimeout,
    BackoffInitial,
    BackoffJitter,
    BackoffMax,
    BackoffMultiplier,
    CacheKey,
    CacheTags,
    CacheTtl,
    ContentType,
    Deadline,
    Delay,
    DoNotCache,
    ExpiresIn,
    FromFile,
    IdempotencyKey,
    MaxAttempts,
    Metadata,
    PayloadText,
    PriorityOption,
    QueueName,
    RequestId,
    Retention,
    RunAt,
    SkipCache,
    pairs,
)

if TYPE_CHECKING:
    from penstock.cli.exits import ExitCode
    from penstock.client import AsyncClient

__all__ = ["submit"]


# Longer than other functions: each option is a parameter, as typer has it.
def submit(
    job_type: Annotated[
        str, typer.Argument(metavar="TYPE", help="The name that a handler is registered under.")
    ],
    *,
    payload: PayloadText = None,
    from_file: FromFile = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Watch to the end, as `penstock watch` does.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end in silence, then print the result.")
    ] = False,
    timeout: Timeout = None,
    queue: QueueName = "default",
    priority: PriorityOption = None,
    content_type: ContentType = JSON_TYPE,
    delay: Delay = None,
    run_at: RunAt = None,
    expires_in: ExpiresIn = None,
    deadline: Deadline = None,
    attempt_timeout: AttemptTimeout = None,
    max_attempts: MaxAttempts = None,
    backoff: BackoffInitial = None,
    backoff_max: BackoffMax = None,
    backoff_multiplier: BackoffMultiplier = None,
    backoff_jitter: BackoffJitter = None,
    idempotency_key: IdempotencyKey = "",
    request_id: RequestId = "",
    metadata: Metadata = None,
    retention: Retention = None,
    cache_ttl: CacheTtl = None,
    cache_key: CacheKey = "",
    cache_tag: CacheTags = None,
    skip_cache: SkipCache = False,
    do_not_cache: DoNotCache = False,
    allow_unregistered: AllowUnregistered = False,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Submit a job, or many.

    Prints the id; with --watch or --wait, sees the job through, and exits with 1 if it does not
    succeed.

    Example: penstock submit image.resize --payload '{"width": 200}' --delay 10m

    Example: penstock submit mail.send --from-file letters.jsonl --queue mail --watch
    """
    from penstock.cli.submitting import After, Order, submit_file, submit_one
    from penstock.client import Backoff, CachePolicy

    if cache_ttl is None and (cache_key or cache_tag or skip_cache or do_not_cache):
        raise CommandError("without --cache-ttl, there is no cache", "add --cache-ttl, such as 5m")
    pauses = Backoff(backoff, backoff_max, backoff_multiplier, backoff_jitter)
    order = Order(
        job_type,
        {
            "content_type": content_type,
            "queue": queue,
            "priority": priority.value if priority else None,
            "delay": delay,
            "run_at": run_at,
            "expires_in": expires_in,
            "deadline": deadline,
            "max_attempts": max_attempts,
            # None at all leaves it to the policy of the queue.
            "backoff": None if pauses == Backoff() else pauses,
            "timeout": attempt_timeout,
            "idempotency_key": idempotency_key,
            "retention": retention,
            "cache": None
            if cache_ttl is None
            else CachePolicy(cache_ttl, cache_key, cache_tag or (), skip_cache, do_not_cache),
            "metadata": pairs(metadata or []),
            "allow_unregistered": allow_unregistered,
            "request_id": request_id,
        },
    )
    after = After(watch=watch, wait=wait, timeout=timeout)
    _check_combination(payload, from_file, request_id, idempotency_key)

    async def work(client: "AsyncClient") -> "ExitCode":
        if from_file is not None:
            return await submit_file(client, order, from_file, after)
        return await submit_one(client, order, payload, after)

    raise typer.Exit(int(with_client(address, work)))


def _check_combination(
    payload: str | None, from_file: str | None, request_id: str, idempotency_key: str
) -> None:
    if from_file is None:
        return
    if payload is not None:
        raise CommandError("--payload and --from-file exclude each other", "give one of them")
    if request_id or idempotency_key:
        raise CommandError(
            "--request-id and --idempotency-key name one job, and --from-file submits many",
            "leave them out, or submit the jobs one by one",
        )
