"""What a job costs in Redis' memory: published figures, so they are held here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.broker import Content, Submitted
from penstock.broker.info import parse_info

if TYPE_CHECKING:
    from penstock.broker import Broker
    from tests.broker.rig import Rig

JOBS: Final = 2_000
#: The largest payload that stays in the record.
PAYLOAD: Final = Content(b"x" * 64, "text/plain")


async def used_bytes(broker: Broker) -> int:
    """Without what the server has set aside for connections, and for what it will write to disk."""
    info = parse_info(await broker.link.call("INFO", "memory"))
    buffers = int(info["mem_clients_normal"]) + int(info["mem_aof_buffer"])
    return int(info["used_memory"]) - buffers


async def submit_all(rig: Rig) -> None:
    for _ in range(JOBS // 500):
        specs = [rig.new_job(payload=PAYLOAD) for _ in range(500)]
        answers = await rig.broker.jobs.submit_many(specs, budget_s=30.0)
        assert all(isinstance(answer, Submitted) for answer in answers)


async def test_a_queued_job_and_a_finished_one(rig: Rig) -> None:
    await rig.submit()
    before = await used_bytes(rig.broker)
    await submit_all(rig)
    queued = (await used_bytes(rig.broker) - before) / JOBS
    while grants := await rig.claim():
        for grant in grants:
            await rig.complete(grant)
    finished = (await used_bytes(rig.broker) - before) / JOBS
    assert queued <= 450
    assert finished <= 650
