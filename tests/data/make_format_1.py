"""Makes `format-1.json`: jobs in every state, as the first version stored them.

Run with that version's packages, and this tree's tests. The file is kept, so that every later
version is tried on it. To make it again::

    git archive f3cbdcf gen runtime broker server worker clients/python cli | tar -x -C OLD
    PYTHONPATH=OLD/gen:OLD/runtime:OLD/broker python -m tests.data.make_format_1
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.broker import Broker, Chunk, Content, Failure, NewJob, Priority, Progress
from penstock.runtime.embedded import EmbeddedServer
from tests.support.stored import take_out

if TYPE_CHECKING:
    from penstock.broker import Grant
    from penstock.broker.keys import Slot

LONG = Content(b"[" + b" " * 100 + b"]")
HOUR_MS = 3_600_000


class _Maker:
    """Somebody who uses the queue ``q`` of two partitions in all ways that there were."""

    def __init__(self, broker: Broker, slots: list[Slot]) -> None:
        self._broker = broker
        self._slots = slots
        self._number = 0

    async def submit(self, **options: Any) -> str:  # noqa: ANN401 - the fields of NewJob.
        self._number += 1
        job = NewJob(**{"type": "work", "queue": "q", "request_id": f"r{self._number}", **options})
        return (await self._broker.jobs.submit(job)).job_id

    async def granted(self, **options: Any) -> Grant:  # noqa: ANN401 - as above.
        job_id = await self.submit(**options)
        grants: list[Grant] = []
        for slot in self._slots:
            grants += await self._broker.attempts.claim(slot, "worker", 10, 10_000)
        (grant,) = grants
        assert grant.job_id == job_id
        return grant

    async def end(self, kind: str, **options: Any) -> None:  # noqa: ANN401 - as above.
        grant = await self.granted(**options)
        identity = grant.job_id, grant.fencing_token
        attempts = self._broker.attempts
        if kind == "long":
            await attempts.report(*identity, 1, [Progress(1, 2, "half"), Chunk(b"out", 0)])
            await attempts.complete(*identity, LONG)
        elif kind == "short":
            await attempts.complete(*identity, Content(b"42"))
        else:
            await attempts.fail(*identity, kind, Failure("ValueError", "no luck"), HOUR_MS)

    async def make(self) -> None:
        for payload in (Content(b"{}"), LONG):
            for kind in ("long", "short", "error", "final", "cancelled", "expired"):
                await self.end(kind, payload=payload)
            again = await self.granted(payload=payload, max_attempts=5)
            identity = again.job_id, again.fencing_token
            await self._broker.attempts.checkpoint(*identity, b"bhalf")
            await self._broker.attempts.release(*identity, "drain", HOUR_MS)
            running = await self.granted(payload=payload)
            asked = await self.granted(payload=payload)
            await self._broker.attempts.report(
                running.job_id, running.fencing_token, 1, [Progress(1, 3)]
            )
            await self._broker.jobs.cancel(asked.job_id, "enough")
        for payload in (Content(b"{}"), LONG):
            await self.submit(payload=payload, delay_ms=HOUR_MS, expires_in_ms=2 * HOUR_MS)
            for priority in Priority:
                await self.submit(payload=payload, priority=priority, expires_in_ms=HOUR_MS)
        await self.submit(idempotency_key="key", metadata={"who": "me"}, timeout_ms=1_000)


async def _make() -> None:
    with EmbeddedServer() as server:
        broker = Broker(server.url)
        async with broker:
            broker.engine.partitions = 2
            queue = await broker.engine.ensure_queue("q")
            await _Maker(broker, broker.engine.slots(queue)).make()
            stored = await take_out(broker.link.call)
            jobs = {}
            for name in stored["keys"]:
                slot_name, _, tail = name.partition("}:j:")
                if tail:
                    slot = broker.engine.slot(queue.code, int(slot_name.rpartition(":")[2]))
                    job_id = slot.job_id(tail)
                    job = await broker.jobs.get(job_id, payload=True, result=True)
                    jobs[job_id] = {
                        "state": job.state.name,
                        "attempt": job.attempt,
                        "payload": job.payload.data.decode() if job.payload else None,
                        "result": job.result.data.decode() if job.result else None,
                        "events": (await broker.jobs.events(job_id)).last_sequence,
                    }
    text = json.dumps({"jobs": jobs, **stored}, indent=1, sort_keys=True)
    Path(__file__).with_name("format-1.json").write_text(text + "\n")


if __name__ == "__main__":
    asyncio.run(_make())
