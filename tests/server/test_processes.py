"""A gateway of several processes: they share a port, are replaced, and stop together."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import grpc
import pytest

from penstock.client import AsyncClient
from penstock.runtime import ConfigurationError
from penstock.runtime.embedded import EmbeddedServer
from penstock.server import Gateways, ServerSettings
from penstock.v1 import job_pb2, job_service_pb2_grpc
from penstock.v1 import job_service_pb2 as pb
from tests.server.process import gateway_process
from tests.server.rig import next_of, rest_of, spec
from tests.support.processes import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONFIGURATION_ERROR: Final = 78
#: The chance that all are given to one of two processes is one in 2 ** 31.
CHANNELS: Final = 32
CLIENTS: Final = 8
JOBS_BEFORE_THE_KILL: Final = 50

#: States of a socket, as the kernel lists them.
ACCEPTED: Final = "01"
LISTENS: Final = "0A"

HAS_PROC: Final = Path("/proc/self/task").is_dir()
needs_proc = pytest.mark.skipif(
    not HAS_PROC, reason="needs Linux, which tells whose children are whose"
)


@contextlib.asynccontextmanager
async def two_processes(
    redis_url: str, **environment: str
) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A gateway of two processes, and its address."""
    address = f"127.0.0.1:{free_port()}"
    async with gateway_process(
        REDIS_URL=redis_url, PENSTOCK_LISTEN=address, PENSTOCK_PROCESSES="2", **environment
    ) as process:
        await eventually(
            lambda: process.returncode is not None or accepts(address),
            "the gateway accepts connections",
            within_s=20,
        )
        if HAS_PROC:
            await eventually(
                lambda: (
                    sum(has_socket(pid, address, LISTENS) for pid in children_of(process.pid)) == 2
                ),
                "both processes listen",
                within_s=20,
            )
        yield process, address


def accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def children_of(pid: int) -> set[int]:
    """The processes that a process started, by any of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return {int(child) for each in lists for child in each.read_text().split()}


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def has_socket(pid: int, address: str, state: str) -> bool:
    """Whether a process has a socket at an address: one that it ACCEPTED, or that it LISTENS on."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    table = "".join(Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [row.split() for row in table.splitlines()]
    meant = {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == state}
    held = set()
    with contextlib.suppress(OSError):  # The process is gone.
        for end in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):  # It was closed meanwhile.
                held.add(str(end.readlink()))
    return bool(held & meant)


@needs_proc
async def test_connections_are_spread_over_all_processes(redis_url: str) -> None:
    async with (
        two_processes(redis_url) as (process, address),
        contextlib.AsyncExitStack() as stack,
    ):
        request = pb.SubmitJobRequest(job=spec(options=job_pb2.JobOptions(allow_unregistered=True)))
        for _ in range(CHANNELS):
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            )
            await job_service_pb2_grpc.JobServiceStub(channel).SubmitJob(request)
        assert [has_socket(pid, address, ACCEPTED) for pid in children_of(process.pid)] == [
            True
        ] * 2


@needs_proc
async def test_a_killed_process_costs_no_call_and_has_a_successor(redis_url: str) -> None:
    submitted: list[str] = []

    async def submit_all(client: AsyncClient) -> None:
        while not replaced.is_set():
            job = await client.submit("work", 1, allow_unregistered=True)
            submitted.append(job.job_id)

    replaced = asyncio.Event()
    async with (
        two_processes(redis_url) as (process, address),
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(AsyncClient(address)) for _ in range(CLIENTS)]
        flights = asyncio.gather(*(submit_all(client) for client in clients))
        await eventually(
            lambda: len(submitted) > JOBS_BEFORE_THE_KILL, "jobs are submitted", within_s=20
        )
        first = children_of(process.pid)
        [victim, *_] = [pid for pid in first if has_socket(pid, address, ACCEPTED)]
        os.kill(victim, signal.SIGKILL)

        def successor() -> bool:
            new = children_of(process.pid) - first
            return len(new) == 1 and has_socket(new.pop(), address, LISTENS)

        await eventually(successor, "the dead process has a successor", within_s=20)
        replaced.set()
        await flights
        assert len(set(submitted)) == len(submitted)
        stats = await clients[0].queue_stats("default")
        assert stats.submitted == len(submitted)


@needs_proc
async def test_they_stop_together_and_streams_end_with_a_cursor(redis_url: str) -> None:
    request = pb.SubmitJobRequest(job=spec(options=job_pb2.JobOptions(allow_unregistered=True)))
    async with (
        two_processes(redis_url) as (process, address),
        contextlib.AsyncExitStack() as stack,
    ):
        streams = []
        for _ in range(CHANNELS):
            channel = await stack.enter_async_context(
                grpc.aio.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)])
            )
            jobs = job_service_pb2_grpc.JobServiceStub(channel)
            job_id = (await jobs.SubmitJob(request, wait_for_ready=True)).job.job_id
            stream = jobs.StreamProgress(pb.StreamProgressRequest(job_id=job_id))
            assert (await next_of(stream)).HasField("snapshot")
            assert (await next_of(stream)).HasField("state_change")
            streams.append(stream)
        children = children_of(process.pid)
        process.send_signal(signal.SIGTERM)
        for stream in streams:
            [end] = await rest_of(stream)
            assert end.end.reason == pb.EndOfStream.REASON_SHUTDOWN
            assert end.end.cursor == 1
        assert await process.wait() == 0
        assert not any(is_there(child) for child in children)


async def test_they_end_when_their_supervisor_is_killed(redis_url: str) -> None:
    async with two_processes(redis_url) as (process, address):
        process.kill()
        await process.wait()
        await eventually(lambda: not accepts(address), "nobody listens any more", within_s=20)


async def last_words(**environment: str) -> list[str]:
    """What a gateway of two processes says that does not start, without its logs."""
    async with gateway_process(PENSTOCK_PROCESSES="2", **environment) as process:
        _, stderr = await process.communicate()
    assert process.returncode == CONFIGURATION_ERROR
    words = stderr.decode()
    assert "Traceback" not in words
    return [line for line in words.splitlines() if line.startswith("penstock: ")]


async def test_an_unsafe_server_is_told_once() -> None:
    with EmbeddedServer(options={"maxmemory-policy": "allkeys-lru"}) as server:
        [words] = await last_words(REDIS_URL=server.url, PENSTOCK_LISTEN="127.0.0.1:0")
    assert "noeviction" in words


@pytest.mark.parametrize("shares", [False, True])
def test_a_port_that_is_taken_is_a_clear_error(redis_url: str, *, shares: bool) -> None:
    with socket.socket() as other:
        # Also where the other would share it: it may be a forgotten gateway.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        other.bind(("127.0.0.1", 0))
        other.listen()
        listen = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match="cannot listen"):
            Gateways(ServerSettings.load(redis_url=redis_url, listen=listen, processes=2))


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("unix:/tmp/gateway", "share"),
        ("192.0.2.1:0", "cannot listen"),
        ("127.0.0.1:99999", "cannot listen"),
        ("no port", "cannot listen"),
    ],
)
def test_an_address_that_cannot_be_shared_is_a_clear_error(
    redis_url: str, listen: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        Gateways(ServerSettings.load(redis_url=redis_url, listen=listen, processes=2))
    assert "listen" in caught.value.fields
