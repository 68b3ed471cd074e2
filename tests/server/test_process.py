"""The gateway as a process: how it is configured, started and stopped."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import grpc
import pytest

from penstock.broker import BrokerSettings, Durability, ReplicationOptions
from penstock.runtime import ConfigurationError
from penstock.runtime.embedded import EmbeddedServer
from penstock.server import ServerSettings
from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.server.process import gateway_process
from tests.server.rig import next_of, rest_of, spec

if TYPE_CHECKING:
    from pathlib import Path

CONFIGURATION_ERROR = 78


@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop"])
async def test_a_process_serves_until_it_is_told_to_stop(
    redis_url: str, tmp_path: Path, event_loop: str
) -> None:
    address = f"unix:{tmp_path}/gateway.sock"
    environment = {
        "REDIS_URL": redis_url,
        "PENSTOCK_LISTEN": address,
        "PENSTOCK_EVENT_LOOP": event_loop,
    }
    async with (
        gateway_process(**environment) as process,
        grpc.aio.insecure_channel(address) as channel,
    ):
        jobs = job_service_pb2_grpc.JobServiceStub(channel)
        options = job_pb2.JobOptions(allow_unregistered=True)
        receipt = await jobs.SubmitJob(
            pb.SubmitJobRequest(job=spec(options=options)), wait_for_ready=True
        )
        stream = jobs.StreamProgress(pb.StreamProgressRequest(job_id=receipt.job.job_id))
        await next_of(stream)
        await next_of(stream)
        process.send_signal(signal.SIGTERM)
        [end] = await rest_of(stream)
        assert end.end.reason == pb.EndOfStream.REASON_SHUTDOWN
        assert await process.wait() == 0


async def exit_of(**environment: str) -> tuple[int, str]:
    """The exit code and the last words of a gateway that does not start."""
    async with gateway_process(**environment) as process:
        _, stderr = await process.communicate()
    assert process.returncode is not None
    return process.returncode, stderr.decode().splitlines()[-1]


async def test_an_unsafe_server_is_fatal() -> None:
    with EmbeddedServer(options={"maxmemory-policy": "allkeys-lru"}) as server:
        code, words = await exit_of(REDIS_URL=server.url, PENSTOCK_LISTEN="127.0.0.1:0")
    assert code == CONFIGURATION_ERROR
    assert words.startswith("penstock: ")
    assert "noeviction" in words


async def test_no_redis_address_is_fatal() -> None:
    code, words = await exit_of()
    assert code == CONFIGURATION_ERROR
    assert "REDIS_URL" in words


async def test_a_bad_setting_is_named() -> None:
    code, words = await exit_of(PENSTOCK_MAX_STREAMS="0")
    assert code == CONFIGURATION_ERROR
    assert "PENSTOCK_MAX_STREAMS" in words


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_LISTEN", "0.0.0.0:7000")
    monkeypatch.setenv("PENSTOCK_MIN_DURABILITY", "ALWAYS")
    settings = ServerSettings.load(max_streams=7)
    assert settings.listen == "0.0.0.0:7000"
    assert settings.min_durability == "always"
    assert settings.max_streams == 7


def test_settings_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_ASSERT_DURABILITY", "perhaps")
    with pytest.raises(ConfigurationError, match="PENSTOCK_ASSERT_DURABILITY"):
        ServerSettings.load()


def test_gateways_alone_ask_replicas() -> None:
    settings = ServerSettings.load(min_durability="replicated", replicas=2)
    asked = settings.broker_options("gateway")
    assert asked.replication == ReplicationOptions(replicas=2)
    assert asked.minimum_durability is Durability.ALWAYS
    worker = BrokerSettings.load(min_durability="replicated", redis_url="redis://nowhere")
    assert worker.broker_options("worker").replication is None
    assert worker.broker_options("worker").minimum_durability is Durability.ALWAYS
    others = ServerSettings.load(min_durability="always", replicas=2)
    assert others.broker_options("gateway").replication is None


def test_where_the_server_replicates_by_itself_none_is_asked() -> None:
    settings = ServerSettings.load(min_durability="replicated", assert_durability="replicated")
    options = settings.broker_options("gateway")
    assert options.replication is None
    assert options.minimum_durability is options.asserted_durability is Durability.REPLICATED


def test_every_setting_is_documented() -> None:
    for name, field in ServerSettings.model_fields.items():
        assert field.description, name
