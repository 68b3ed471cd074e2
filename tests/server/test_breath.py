"""A call that brings much to judge leaves the gateway's event loop to others."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from penstock.server import breath, payloads
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import spec
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest
    from jsonschema_rs import Validator

    from tests.server.rig import Rig

COUNT = 60
LONG = 57_000
REFUSED = json.dumps({"width": ["x" * 8] * (LONG // 12)}).encode()
ACCEPTED = json.dumps({"width": 1, "name": "x" * LONG}).encode()


class Record:
    """What was judged, by the turn of the loop in which it was."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.turn = 0
        self.judged: list[tuple[int, str]] = []
        judge = payloads.judge

        def recorded(
            path: str, data: bytes, validators: Sequence[Validator]
        ) -> list[tuple[str, str]]:
            self.judged.append((self.turn, path))
            return judge(path, data, validators)

        monkeypatch.setattr(breath, "judge", recorded)

    async def count(self) -> None:
        while True:
            self.turn += 1
            await asyncio.sleep(0)

    @property
    def most_a_turn(self) -> int:
        turns = [turn for turn, _ in self.judged]
        return max(turns.count(turn) for turn in turns)


async def judged(rig: Rig, record: Record, payload: bytes) -> pb.SubmitJobsResponse:
    """The answer to a batch of the same payload, by a gateway that knows its type."""
    await rig.submit()
    record.judged.clear()
    request = pb.SubmitJobsRequest(jobs=[spec(payload=payload)] * COUNT)
    counting = asyncio.create_task(record.count())
    answer = await rig.jobs.SubmitJobs(request)
    counting.cancel()
    await asyncio.wait([counting])
    return answer


async def test_payloads_that_are_refused_are_judged_once_and_one_a_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(monkeypatch)
    answer = await judged(rig, record, REFUSED)
    assert all(result.HasField("error") for result in answer.results)
    paths = [path for _, path in record.judged]
    assert paths == [f"jobs[{index}].payload.data" for index in range(COUNT)]
    assert record.most_a_turn == 1


async def test_payloads_that_are_accepted_are_judged_a_few_a_turn(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(monkeypatch)
    answer = await judged(rig, record, ACCEPTED)
    assert all(result.HasField("job") for result in answer.results)
    assert len(record.judged) == COUNT
    assert record.most_a_turn == 2


async def test_others_are_answered_while_a_batch_is_judged(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = Record(monkeypatch)
    job_id = (await rig.submit()).job_id
    record.judged.clear()
    request = pb.SubmitJobsRequest(jobs=[spec(payload=REFUSED)] * COUNT)
    batch = asyncio.ensure_future(rig.jobs.SubmitJobs(request))
    await eventually(lambda: record.judged, "the batch is being judged")
    assert (await rig.job(job_id)).job_id == job_id
    assert len(record.judged) < COUNT
    assert len((await batch).results) == COUNT


async def test_a_verdict_is_given_anew_where_a_version_was_registered_since(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.submit()
    await rig.register({"type": "object", "required": ["depth"]})
    record = Record(monkeypatch)
    request = pb.SubmitJobsRequest(jobs=[spec(payload=b'{"depth": 3}'), spec(payload=b"[]")])
    first, second = (await rig.jobs.SubmitJobs(request)).results
    assert first.HasField("job")
    assert second.HasField("error")
    assert len(record.judged) == 4
