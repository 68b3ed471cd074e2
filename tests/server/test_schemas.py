"""Job types and their schemas, as workers register them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.broker import Broker
from penstock.v1 import job_pb2
from penstock.v1 import job_service_pb2 as pb
from tests.server.rig import refusal_of, rig_on, spec
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.server.rig import Refusal, Rig


async def refused(rig: Rig, **fields: object) -> Refusal:
    return await refusal_of(rig.jobs.SubmitJob(pb.SubmitJobRequest(job=spec(**fields))))


async def test_an_unknown_type_is_refused_with_the_known_ones(rig: Rig) -> None:
    await rig.register({}, "text.count")
    refusal = await refused(rig, type="text.cuont")
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "UNKNOWN_JOB_TYPE"
    assert refusal.facts["known_types"] == "image.resize, text.count"
    assert "text.cuont" in refusal.message
    assert "PreconditionFailure" in refusal.details


async def test_an_unknown_type_is_accepted_on_request(rig: Rig) -> None:
    options = job_pb2.JobOptions(allow_unregistered=True)
    assert (await rig.submit(type="to.come", options=options, payload=b"[1]")).job_id
    refusal = await refused(rig, type="to.come", options=options, payload=b"[1")
    assert "job.payload.data" in refusal.violations


async def test_a_type_counts_from_the_moment_it_is_registered(rig: Rig) -> None:
    assert (await refused(rig, type="brand.new")).reason == "UNKNOWN_JOB_TYPE"
    await rig.register({"type": "string"}, "brand.new")
    assert (await rig.submit(type="brand.new", payload=b'"x"')).job_id
    # And is validated, even for those who do not ask for it to be known.
    options = job_pb2.JobOptions(allow_unregistered=True)
    refusal = await refused(rig, type="brand.new", payload=b"1", options=options)
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_bad_payload_is_refused_with_every_violation(rig: Rig) -> None:
    refusal = await refused(rig, payload=b'{"width": 0, "name": 5, "depth": 1}')
    assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
    assert set(refusal.violations) == {
        "job.payload.data",
        "job.payload.data/width",
        "job.payload.data/name",
    }


async def test_a_new_version_counts_at_once_and_the_old_one_still_does(rig: Rig) -> None:
    payload = b'{"width": 5, "depth": 3}'
    assert "job.payload.data" in (await refused(rig, payload=payload)).violations
    await rig.register({"type": "object", "required": ["depth"]})
    assert (await rig.submit(payload=payload)).job_id
    assert (await rig.submit(payload=b'{"width": 80}')).job_id


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"type": "nonsense"},
        {"pattern": "(?=look)ahead"},
    ],
)
async def test_a_schema_that_cannot_be_used_is_no_open_door(
    rig: Rig, schema: dict[str, object]
) -> None:
    await rig.register(schema, "odd")
    refusal = await refused(rig, type="odd", payload=b'"x"')
    assert refusal.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refusal.reason == "SCHEMA_UNUSABLE"


async def test_patterns_take_linear_time(rig: Rig) -> None:
    await rig.register({"type": "string", "pattern": "^(a+)+$"}, "redos")
    hostile = json.dumps("a" * 40_000 + "!").encode()
    assert "job.payload.data" in (await refused(rig, type="redos", payload=hostile)).violations


async def test_a_long_payload_is_validated_like_a_short_one(rig: Rig) -> None:
    name = "x" * 100_000
    long = json.dumps({"width": 1, "name": name}).encode()
    job = await rig.job((await rig.submit(payload=long)).job_id)
    assert job.payload.data == long
    bad = json.dumps({"width": 0, "name": name}).encode()
    assert "job.payload.data/width" in (await refused(rig, payload=bad)).violations


async def test_types_survive_their_workers(rig: Rig) -> None:
    # A fleet that is scaled to zero registered last long ago.
    names = rig.broker.engine.names
    for field in await rig.broker.link.call("HKEYS", names.types()):
        await rig.broker.link.call("HSET", names.types(), field, 1)
    assert (await rig.submit()).job_id
    assert "job.payload.data" in (await refused(rig, payload=b"{}")).violations


async def test_a_schema_that_is_lost_is_no_licence_and_is_read_again(rig: Rig) -> None:
    await rig.register({"type": "string"}, "brand.new")
    await rig.broker.link.call("DEL", rig.broker.engine.names.schemas())
    assert (await refused(rig, type="brand.new")).reason == "SCHEMA_UNUSABLE"
    await rig.register({"type": "string"}, "brand.new")
    assert (await rig.submit(type="brand.new", payload=b'"x"')).job_id


async def test_a_type_that_the_server_has_lost_is_remembered_for_a_while(rig: Rig) -> None:
    """As after a power cut that took back all that workers had registered."""
    await rig.register({"type": "string"}, "brand.new")
    assert (await rig.submit(type="brand.new", payload=b'"x"')).job_id
    names = rig.broker.engine.names
    await rig.broker.link.call("DEL", names.types(), names.schemas())
    assert (await refused(rig, type="never.known")).reason == "UNKNOWN_JOB_TYPE"  # And looks.
    assert (await rig.submit(type="brand.new", payload=b'"x"')).job_id
    assert "job.payload.data" in (await refused(rig, type="brand.new", payload=b"1")).violations
    await rig.register({"type": "string"}, "brand.new")
    assert (await rig.submit(type="brand.new", payload=b'"x"')).job_id


async def test_a_type_that_was_removed_is_refused_for_good_after_a_while(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.server.schemas.VANISHED_FOR_S", 0.0)
    await rig.register({}, "brand.new")
    assert (await rig.submit(type="brand.new")).job_id
    await rig.broker.link.call("DEL", rig.broker.engine.names.types())
    assert (await refused(rig, type="never.known")).reason == "UNKNOWN_JOB_TYPE"
    assert (await refused(rig, type="brand.new")).reason == "UNKNOWN_JOB_TYPE"


async def test_a_gateway_forgets_old_versions(redis_url: str) -> None:
    async with Broker(redis_url) as broker:
        types = broker.engine.names.types()
        await broker.registry.register_types({"old": {"type": "string"}})
        [field] = await broker.link.call("HKEYS", types)
        await broker.link.call("HSET", types, field, 0)
        await broker.registry.register_types({"old": {}})
        async with rig_on(redis_url) as rig:

            async def is_forgotten() -> bool:
                return not await broker.link.call("HEXISTS", types, field)

            await eventually(is_forgotten, "the old version is forgotten")
            assert (await rig.submit(type="old", payload=b"1")).job_id
