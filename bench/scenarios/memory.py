"""Bytes of the server's memory that a job takes, by what it carries and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bench.figures import Figure, samples
from bench.specs import PAYLOAD, TYPE
from penstock.broker import Broker, BrokerOptions, Chunk, Content, NewJob, Progress
from penstock.broker.info import parse_info
from penstock.runtime.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.stack import Stack

__all__ = ["SHAPES", "Shape", "bytes_per_job", "measure"]

JOBS: Final = 10_000
#: Of those that differ from the first in one thing: that much is enough to tell what it takes.
FEWER: Final = 4_000
BATCH: Final = 1_000
WARM_UP: Final = 100
LEASE_MS: Final = 60_000
LARGE: Final = b"x" * 1_000
EVENTS: Final = 20


@dataclass(frozen=True)
class Shape:
    """A kind of job.

    Attributes:
        name: of the figure.
        payload: of each.
        options: further fields of `NewJob`.
        keyed: each has an idempotency key of 32 characters.
        reports: what each attempt reports.
        result: which each is completed with; None leaves them where they are.
        jobs: how many are stored.
    at_most: bytes for each.
    """

    name: str
    payload: bytes = PAYLOAD
    options: Mapping[str, Any] = field(default_factory=dict)
    keyed: bool = False
    reports: Sequence[Chunk | Progress] = ()
    result: bytes | None = None
    jobs: int = FEWER
    at_most: float | None = None

    def job(self, number: int) -> NewJob:
        """One of them."""
        return NewJob(
            type=TYPE,
            queue="memory",
            request_id=f"{number:032}",
            payload=Content(self.payload),
            idempotency_key=f"key-{number:028}" if self.keyed else "",
            **self.options,
        )


_SMALL: Final = b"null"

#: With 64 bytes of payload, unless they say otherwise.
SHAPES: Final = (
    Shape("queued job", jobs=JOBS, at_most=450),
    Shape("scheduled job", options={"delay_ms": 3_600_000}),
    Shape("queued job, 1,000 bytes of payload", payload=LARGE),
    Shape("queued job, idempotency key", keyed=True),
    Shape("queued job, 100 bytes of metadata", options={"metadata": {"trace": "0" * 95}}),
    Shape("finished job", result=_SMALL, jobs=JOBS),
    Shape("finished job, 1,000 bytes of payload", payload=LARGE, result=_SMALL),
    Shape("finished job, 1,000 bytes of result", result=LARGE),
    Shape(
        "finished job, 20 reports of progress",
        reports=[Progress(number, EVENTS, "") for number in range(EVENTS)],
        result=_SMALL,
    ),
    Shape(
        "finished job, 20 chunks of 100 bytes",
        reports=[Chunk(b"x" * 100, 1)] * EVENTS,
        result=_SMALL,
    ),
)


async def measure(_: Stack, repeat: int) -> list[Figure]:
    """On an empty server of its own; the same every time but for the allocator's whims."""
    return [
        Figure(
            "memory",
            shape.name,
            samples([await bytes_per_job(shape) for _repetition in range(_times(shape, repeat))]),
            "bytes",
            at_most=shape.at_most,
        )
        for shape in SHAPES
    ]


def _times(shape: Shape, repeat: int) -> int:
    return min(repeat, 2) if shape.jobs == JOBS else 1


async def bytes_per_job(shape: Shape) -> float:
    """Stores jobs of a shape on a server of its own; what each of them takes."""
    async with (
        EmbeddedServer() as server,
        Broker(server.url, BrokerOptions(namespace="memory")) as broker,
    ):
        # Scripts, the queue and the first keys of each kind are there whatever is stored.
        await _store(broker, shape, range(WARM_UP))
        before = await _used(broker)
        await _store(broker, shape, range(WARM_UP, WARM_UP + shape.jobs))
        return (await _used(broker) - before) / shape.jobs


async def _store(broker: Broker, shape: Shape, numbers: range) -> None:
    for start in range(0, len(numbers), BATCH):
        batch = [shape.job(number) for number in numbers[start : start + BATCH]]
        await broker.jobs.submit_many(batch)
    if shape.result is not None:
        await _run_all(broker, shape, shape.result)


async def _run_all(broker: Broker, shape: Shape, result: bytes) -> None:
    (slot,) = broker.engine.slots(await broker.queues.get("memory"))
    while grants := await broker.attempts.claim(slot, "bench", 100, LEASE_MS):
        for grant in grants:
            if shape.reports:
                await broker.attempts.report(grant.job_id, grant.fencing_token, 1, shape.reports)
            await broker.attempts.complete(grant.job_id, grant.fencing_token, Content(result))


async def _used(broker: Broker) -> int:
    """Bytes that the server uses, but for what is on its way."""
    told = parse_info(await broker.link.call("INFO", "memory"))
    passing = ("mem_clients_normal", "mem_aof_buffer")
    return int(told["used_memory"]) - sum(int(told[name]) for name in passing)
