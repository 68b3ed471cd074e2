"""The way to a gateway, as the environment of a process has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.client import Unimplemented
from penstock.client.channel import Endpoint

if TYPE_CHECKING:
    from tests.client.conftest import Connect
    from tests.client.scripted import ScriptedGateway

NO_PROXY = ("grpc.enable_http_proxy", 0)


async def test_a_gateway_on_this_machine_is_not_looked_for_behind_a_proxy(
    connect: Connect, script: ScriptedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with connect(script.address) as client:
        with pytest.raises(Unimplemented):  # That is an answer, and the scripted one's.
            await client(lambda calls: calls.health())


@pytest.mark.parametrize(
    "address",
    [
        "localhost",
        "localhost:1",
        "127.0.0.1:50051",
        "[::1]:1",
        "dns:///localhost:1",
        "ipv4:127.1:1",
    ],
)
def test_these_are_this_machine(address: str) -> None:
    assert NO_PROXY in Endpoint(address, None).options


@pytest.mark.parametrize("address", ["gateway:50051", "localhost.example.org:1", "10.0.0.127.1:1"])
def test_these_are_not(address: str) -> None:
    assert NO_PROXY not in Endpoint(address, None).options
