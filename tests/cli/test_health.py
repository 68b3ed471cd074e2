"""The probe: an exit code for a container, and no more than it takes."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from penstock.cli.durability import durability_text
from penstock.cli.health import address_beside
from penstock.runtime.embedded import EmbeddedServer
from tests.cli.running import penstock
from tests.support.processes import Fleet, free_port
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Command


@pytest.mark.parametrize(
    "service", ["", "penstock.v1.JobService", "penstock.v1.QueueService", "liveness"]
)
def test_a_gateway_that_serves_is_0(run: Command, service: str) -> None:
    answer = run("health", "--service", service)
    assert answer.code == 0, answer
    assert "is serving" in answer.err


def test_an_unknown_service_is_1(run: Command) -> None:
    answer = run("health", "--service", "penstock.v9.Nothing")
    assert answer.code == 1, answer
    assert "knows no service" in answer.err


def test_nobody_there_is_2_at_once_and_says_how_to_start_a_gateway() -> None:
    address = f"127.0.0.1:{free_port()}"
    answer = penstock("health", "--address", address, "--timeout", "30")
    assert answer.code == 2, answer
    assert f"connection refused at {address}" in answer.err
    assert "penstock dev" in answer.err
    seconds = penstock("health", "--address", address, "--timeout", "30", "--json").json["seconds"]
    assert seconds < 10


def test_nobody_who_answers_is_2_once_the_time_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        answer = penstock("health", "--address", address, "--timeout", "0.3")
    assert answer.code == 2, answer
    assert f"{address} did not answer within 0.3 s" in answer.err


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("nowhere.invalid:7000", "the host of nowhere.invalid:7000 is not known"),
        ("unix:/no/such.sock", "there is no socket at unix:/no/such.sock"),
        ("localhost", "write it as HOST:PORT"),
    ],
)
def test_an_address_that_leads_nowhere_is_2_and_says_why(address: str, text: str) -> None:
    answer = penstock("health", "--address", address)
    assert answer.code == 2, answer
    assert text in answer.err


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("", "127.0.0.1:50051"),
        ("0.0.0.0:7000", "127.0.0.1:7000"),
        ("[::]:7000", "[::1]:7000"),
        ("10.0.0.1:7000", "10.0.0.1:7000"),
        ("unix:/run/penstock.sock", "unix:/run/penstock.sock"),
    ],
)
def test_the_gateway_beside_is_found_where_it_listens(listen: str, address: str) -> None:
    assert address_beside(listen) == address


def test_the_address_is_that_of_the_gateway_beside() -> None:
    port = free_port()
    answer = penstock("health", PENSTOCK_LISTEN=f"0.0.0.0:{port}")
    assert answer.code == 2, answer
    assert f"127.0.0.1:{port}" in answer.err


def test_scripts_get_json(run: Command) -> None:
    answer = run("health", "--json").json
    assert answer["status"] == "SERVING"
    assert (answer["durability"], answer["durability_reached"]) == ("EVERYSEC", "EVERYSEC")
    assert answer.keys() == {
        "address",
        "detail",
        "durability",
        "durability_reached",
        "reason",
        "seconds",
        "service",
        "status",
    }


def test_people_are_told_the_durability_of_who_is_ready(run: Command) -> None:
    assert "; durability everysec" in run("health").err
    assert "durability" not in run("health", "--service", "liveness").err


def test_what_is_reached_is_told_where_it_is_less() -> None:
    assert durability_text(None, None) == "unknown"
    assert durability_text("ALWAYS", "ALWAYS") == "always"
    told = durability_text("REPLICATED", "ALWAYS")
    assert told.startswith("replicated, but only always is reached now")


def test_a_gateway_without_its_redis_is_alive_and_not_ready(tmp_path: Path) -> None:
    """A container must not be restarted because its Redis is away."""
    server = EmbeddedServer(tmp_path / "data")
    port = free_port()
    with server, Fleet(server.url, tmp_path) as fleet:
        fleet.gateway(port)
        probe = ("health", "--address", f"127.0.0.1:{port}")
        wait_until(lambda: penstock(*probe).code == 0, "the gateway is ready", within_s=20)
        server.kill()
        wait_until(lambda: penstock(*probe).code == 1, "the gateway is not ready", within_s=20)
        assert penstock(*probe, "--service", "liveness").code == 0


@pytest.mark.timeout(180)
def test_a_server_that_comes_back_unfit_is_told_wherever_one_looks(tmp_path: Path) -> None:
    port, redis_port = free_port(), free_port()
    url = f"redis://127.0.0.1:{redis_port}/0"
    address = ("--address", f"127.0.0.1:{port}")
    unfit = EmbeddedServer(tmp_path / "unfit", port=redis_port, options={"appendonly": "no"})
    with Fleet(url, tmp_path) as fleet:
        with EmbeddedServer(tmp_path / "fit", port=redis_port):
            gateway = fleet.gateway(port)
            worker = fleet.worker("examples.quickstart.app:app")
            both = (gateway, worker)
            wait_until(
                lambda: penstock("health", *address).code == 0, "the gateway is ready", within_s=60
            )
            wait_until(
                lambda: "worker started" in fleet.log_of(worker), "so is the worker", within_s=60
            )
        wait_until(
            lambda: all("attempt 1: " in fleet.log_of(each) for each in both),
            "both miss it",
            within_s=60,
        )
        with unfit:
            advice = "durability is NONE"
            wait_until(
                lambda: all(advice in fleet.log_of(each) for each in both),
                "the logs tell why it is refused",
                within_s=60,
            )
            wait_until(
                lambda: advice in penstock("health", *address).err, "so does health", within_s=60
            )
            answer = penstock("health", *address, "--json")
            assert (answer.code, answer.json["detail"]) == (1, "NOT_SERVING")
            assert "set appendonly yes" in answer.json["reason"]
            submit = penstock("submit", "greet", *address, "--payload", '{"name": "world"}')
            assert submit.code != 0
            assert "penstock health" in submit.err
            assert "by itself" not in submit.err
            # Once for each of its connections, not for each of their attempts.
            told = [line for line in fleet.log_of(worker).splitlines() if ": attempt " in line]
            refusals = sum(advice in line for line in told)
            assert refusals <= fleet.log_of(worker).count(": connected (")
