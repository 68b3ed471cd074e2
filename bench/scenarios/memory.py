"""Bytes of the server's memory per queued and per finished job, with 64 bytes of payload."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from bench.figures import Figure, samples
from bench.specs import PAYLOAD, TYPE
from penstock.broker import Broker, BrokerOptions, Content, NewJob
from penstock.runtime.embedded import EmbeddedServer

if TYPE_CHECKING:
    from bench.stack import Stack

JOBS = 10_000
BATCH = 1_000
LEASE_MS = 60_000
QUEUED_CEILING = 450


async def measure(_: Stack, repeat: int) -> list[Figure]:
    """On an empty server of its own; the same every time but for the allocator's whims."""
    queued, finished = [], []
    for _repetition in range(min(repeat, 2)):
        async with (
            EmbeddedServer() as server,
            Broker(server.url, BrokerOptions(namespace="memory")) as broker,
        ):
            empty = await _used(broker)
            for start in range(0, JOBS, BATCH):
                await broker.jobs.submit_many([_job(start + i) for i in range(BATCH)])
            queued.append((await _used(broker) - empty) / JOBS)
            await _run_all(broker)
            finished.append((await _used(broker) - empty) / JOBS)
    return [
        Figure("memory", "queued job", samples(queued), "bytes", at_most=QUEUED_CEILING),
        Figure("memory", "finished job", samples(finished), "bytes"),
    ]


def _job(number: int) -> NewJob:
    return NewJob(
        type=TYPE,
        queue="memory",
        request_id=str(number),
        payload=Content(PAYLOAD),
    )


async def _run_all(broker: Broker) -> None:
    (slot,) = broker.engine.slots(await broker.queues.get("memory"))
    while grants := await broker.attempts.claim(slot, "bench", 100, LEASE_MS):
        for grant in grants:
            await broker.attempts.complete(grant.job_id, grant.fencing_token, Content(b"null"))


async def _used(broker: Broker) -> int:
    found = re.search(rb"used_memory:(\d+)", await broker.link.call("INFO", "memory"))
    if found is None:
        raise RuntimeError("the server does not tell its used_memory")
    return int(found[1])
