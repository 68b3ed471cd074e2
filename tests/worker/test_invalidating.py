"""Handlers that say what counts no more: as coroutines, in threads, and in child processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock.broker import CachePolicy, SubmitOutcome, caller_key, payload_key
from penstock.broker.job import Content
from penstock.broker.new_job import NewJob
from penstock.worker import Context, SyncContext, Worker
from penstock.worker.invalidations import targets_of
from tests.worker.apps import Order, children

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.worker.rig import Rig

TAG = "orders"


async def outcome(rig: Rig, request_id: str) -> SubmitOutcome:
    """What becomes of a submit of the cached work."""
    policy = CachePolicy(60_000, caller_key("work"), (TAG,))
    job = NewJob("read", "nobodys", request_id, Content(b"null"), cache=policy)
    return (await rig.broker.jobs.submit(job)).outcome


def app_of() -> Worker:
    app = Worker()

    @app.job("write")
    async def write(ctx: Context) -> None:
        await ctx.invalidate(tags=[TAG])

    @app.job("write.thread")
    def write_in_thread(ctx: SyncContext) -> None:
        ctx.invalidate("read", key="work", tags=iter(["other"]))

    return app


@pytest.mark.parametrize("job_type", ["write", "write.thread", "child.writes"])
async def test_a_handler_forgets_results(rig: Rig, job_type: str) -> None:
    assert await outcome(rig, "first") is SubmitOutcome.CREATED
    assert await outcome(rig, "second") is SubmitOutcome.JOINED
    async with rig.working(children if job_type.startswith("child") else app_of()):
        await rig.result(await rig.submit(job_type))
    assert await outcome(rig, "third") is SubmitOutcome.CREATED


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "1 to 1,000"),
    ({"tags": [str(number) for number in range(1_001)]}, "1 to 1,000"),
    ({"tags": [""]}, "a tag has 1 to 128"),
    ({"tags": ["x" * 129]}, "a tag has 1 to 128"),
    ({"tags": ["a\n"]}, "a tag has 1 to 128"),
    ({"job_type": "t", "key": "x" * 257}, "a key has 1 to 256"),
    ({"job_type": "t", "key": "k", "payload": None}, "both name the work"),
    ({"key": "k"}, "that of a job type"),
    ({"payload": 1}, "that of a job type"),
    ({"job_type": "t", "payload": object()}, "serialize"),
]


def targets(
    job_type: str = "", payload: object = ..., key: str = "", tags: Iterable[str] = ()
) -> object:
    return targets_of(job_type, payload, key, tags)


@pytest.mark.parametrize(("named", "what"), WRONG)
def test_what_names_nothing_is_refused(named: dict[str, Any], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        targets(**named)


@pytest.mark.parametrize("tags", ["orders", [1]])
def test_a_string_is_no_list_of_tags(tags: Any) -> None:  # noqa: ANN401 - wrong on purpose.
    with pytest.raises(TypeError, match="string"):
        targets(tags=tags)


def test_a_payload_names_the_work_as_its_submit_does() -> None:
    (target,) = targets_of("read", Order(amount=2, note="x"), "", ())
    assert target.key == payload_key(Content(b'{"note": "x", "amount": 2}'), is_json=True)
    (target,) = targets_of("read", b"\x00", "", ())
    raw = Content(b"\x00", "application/octet-stream")
    assert target.key == payload_key(raw, is_json=False)
