"""The level that is reported is the one that the server has, also where somebody changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc
import pytest
from grpc_health.v1 import health_pb2

from penstock.broker.link import RedisLink
from penstock.server import upkeep
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import refusal_of, rig_on, spec
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisLink]:
    """A connection to a server whose configuration may be changed, and is looked at often."""
    monkeypatch.setattr(upkeep, "EXAMINE_EVERY_S", 0.05)
    monkeypatch.setattr(upkeep, "PROBE_EVERY_S", 0.05)
    async with RedisLink(redis_url) as link:
        yield link
        await link.call("CONFIG", "SET", "appendfsync", "everysec")


async def test_a_stronger_level_is_told_as_soon_as_it_is_seen(
    redis_url: str, server: RedisLink
) -> None:
    async with rig_on(redis_url) as rig:
        assert (await rig.submit()).durability == job_pb2.DURABILITY_EVERYSEC
        await server.call("CONFIG", "SET", "appendfsync", "always")

        async def told() -> bool:
            return (await rig.submit()).durability == job_pb2.DURABILITY_ALWAYS

        await eventually(told, "receipts name the new level", within_s=30)


async def test_at_a_weaker_level_than_asked_for_nothing_is_acknowledged(
    redis_url: str, server: RedisLink
) -> None:
    await server.call("CONFIG", "SET", "appendfsync", "always")
    async with rig_on(redis_url, min_durability="always") as rig:
        assert (await rig.submit()).durability == job_pb2.DURABILITY_ALWAYS
        await eventually(lambda: rig.readiness.ready, "the gateway is ready", within_s=30)
        await server.call("CONFIG", "SET", "appendfsync", "everysec")
        await eventually(lambda: not rig.readiness.ready, "it is not ready", within_s=30)

        async def refused() -> bool:
            check = rig.health.Check(health_pb2.HealthCheckRequest())
            assert await check
            reason = dict(await check.trailing_metadata())["penstock-reason"]
            return "durability is EVERYSEC, and ALWAYS is asked for" in str(reason)

        await eventually(refused, "health tells what to change", within_s=30)
        request = pb.SubmitJobRequest(job=spec())
        refusal = await refusal_of(rig.jobs.SubmitJob(request, timeout=3.0))
        assert (refusal.code, refusal.reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "STORAGE_REFUSED",
        )
        await server.call("CONFIG", "SET", "appendfsync", "always")
        await eventually(lambda: rig.readiness.ready, "it is ready again", within_s=30)
        assert (await rig.submit()).durability == job_pb2.DURABILITY_ALWAYS
