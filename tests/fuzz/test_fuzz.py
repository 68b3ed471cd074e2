"""No request hurts the gateway; and a gateway that is hurt does not go unnoticed.

`make fuzz MINUTES=60` goes on for longer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from penstock.broker import InvalidArgument
from penstock.server.service import JobService
from penstock.v1 import job_service_pb2 as pb
from tests.fuzz.forge import Forge
from tests.fuzz.siege import ROUND, Siege
from tests.fuzz.target import METHODS, target_on
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from penstock.runtime.embedded import EmbeddedServer
    from penstock.server.calls import Call
    from tests.fuzz.target import Target

GET_STATUS = next(method for method in METHODS if method.name == "GetStatus")
SUBMIT = next(method for method in METHODS if method.name == "SubmitJob")
#: Of the siege: they take about twenty seconds.
ROUNDS = 7
UNKNOWN_ID = pb.GetStatusRequest(job_id="0" * 36).SerializeToString()


@pytest.fixture
def under_fire(redis_url: str) -> Iterator[tuple[asyncio.Runner, Target]]:
    """A gateway with a job in each state, and the event loop that it lives in."""
    with asyncio.Runner() as runner:
        context = target_on(redis_url, quiet=True)
        target = runner.run(context.__aenter__())
        try:
            yield runner, target
        finally:
            runner.run(context.__aexit__(None, None, None))


@settings(
    suppress_health_check=[
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,  # One gateway takes them all.
        HealthCheck.too_slow,
    ]
)
@given(chance=st.randoms(use_true_random=False))
def test_no_request_hurts(under_fire: tuple[asyncio.Runner, Target], chance: random.Random) -> None:
    runner, target = under_fire
    forge = Forge(chance, learn=False)
    (method,) = chance.sample(METHODS, 1)
    request = forge.request(method.input_type)
    note(f"{method.full_name} {request!r}")
    _, fault = runner.run(target.ask(method, request))
    assert not fault
    # A call counts until its caller has taken the answer, which the gateway hears of after that.
    runner.run(_nothing_counted(target))


async def _nothing_counted(target: Target) -> None:
    await eventually(lambda: not target.rig.admission.unary, "no call is counted any more")


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_siege(redis_server: EmbeddedServer, redis_url: str) -> None:
    assert redis_url
    siege = Siege(seed=1)
    await siege.run(redis_server, rounds=ROUNDS, say=lambda _: None)
    assert not siege.findings
    assert siege.requests >= ROUNDS * ROUND
    # The requests are not so odd that all are refused, nor so tame that none is.
    for method in METHODS:
        assert siege.outcomes[method.full_name, "OK"], method.full_name
        assert siege.outcomes[method.full_name, "INVALID_ARGUMENT"], method.full_name


async def test_an_unexpected_error_is_found(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(JobService, "GetStatus", broken)
    async with target_on(redis_url, quiet=True) as target:
        _, fault = await target.ask(GET_STATUS, UNKNOWN_ID)
    assert "INTERNAL" in fault
    assert "a bug" in fault


async def test_a_task_that_dies_is_found(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def careless(service: JobService, request: Any, call: Call) -> Any:  # noqa: ANN401 - as the method.
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        return await whole(service, request, call)

    whole = JobService.GetStatus
    monkeypatch.setattr(JobService, "GetStatus", careless)
    async with target_on(redis_url, quiet=True) as target:
        _, fault = await target.ask(GET_STATUS, UNKNOWN_ID)
    assert "ZeroDivisionError" in fault


@pytest.mark.parametrize("command", [("SET", "stray", "1"), ("HINCRBY", "kept", "n", "1")])
async def test_a_refused_request_that_writes_is_found(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    async def untidy(service: JobService, *_: object) -> None:
        await service._broker.link.call(*command)
        raise InvalidArgument([("job_id", "it is refused after all")])

    monkeypatch.setattr(JobService, "GetStatus", untidy)
    async with target_on(redis_url, quiet=True) as target:
        await target.rig.broker.link.call("HSET", "kept", "n", "1")
        _, fault = await target.ask(GET_STATUS, UNKNOWN_ID)
    assert "the server's writes went" in fault


async def test_what_is_accepted_may_write(redis_url: str) -> None:
    async with target_on(redis_url, quiet=True) as target:
        assert not await target.still_answers()
        for _ in range(3):
            _, fault = await target.ask(SUBMIT, b"")
            assert not fault
        assert target.outcomes["penstock.v1.JobService.SubmitJob", "INVALID_ARGUMENT"] == 3
