"""The image and the composition, checked as far as that goes without a container engine."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from redis import Redis

from tests.support.waiting import wait_until

TAG_WITH_PATCH = re.compile(r"^[a-z0-9./-]+:\d+\.\d+\.\d+(-[a-z0-9]+)*$")


def instructions(root: Path) -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (root / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [
        (word, rest.strip()) for word, _, rest in (line.strip().partition(" ") for line in lines)
    ]


@pytest.fixture
def dockerfile(root: Path) -> list[tuple[str, str]]:
    return instructions(root)


@pytest.fixture
def services(root: Path) -> dict[str, dict[str, Any]]:
    loaded = yaml.safe_load((root / "compose.yaml").read_text())
    found: dict[str, dict[str, Any]] = loaded["services"]
    return found


def last(dockerfile: list[tuple[str, str]], word: str) -> str:
    return [rest for found, rest in dockerfile if found == word][-1]


def test_the_bases_are_pinned_and_alike(dockerfile: list[tuple[str, str]]) -> None:
    bases = [rest.split(" AS ")[0] for word, rest in dockerfile if word == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert TAG_WITH_PATCH.match(bases[0])


def test_the_image_does_not_run_as_root(dockerfile: list[tuple[str, str]]) -> None:
    uid, _, gid = last(dockerfile, "USER").partition(":")
    assert int(uid) >= 10000
    assert int(gid) >= 10000


def test_the_image_installs_only_what_is_pinned(dockerfile: list[tuple[str, str]]) -> None:
    for word, rest in dockerfile:
        if word == "RUN":
            for command in rest.split("&&"):
                if "pip install" in command or "pip wheel" in command:
                    assert "--require-hashes" in command or "--no-index" in command


def test_the_image_copies_nothing_that_is_ignored(
    root: Path, dockerfile: list[tuple[str, str]]
) -> None:
    allowed = {
        line.removeprefix("!")
        for line in (root / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {
        name
        for word, rest in dockerfile
        if word == "COPY" and not rest.startswith("--from")
        for name in rest.split()[:-1]
    }
    assert copied - {"."} <= allowed
    assert [name for name in allowed if not (root / name).exists()] == []


def test_every_command_is_one_of_the_command_line(
    dockerfile: list[tuple[str, str]], services: dict[str, dict[str, Any]]
) -> None:
    assert yaml.safe_load(last(dockerfile, "ENTRYPOINT")) == ["penstock"]
    health = yaml.safe_load(last(dockerfile, "HEALTHCHECK").partition("CMD ")[2])
    assert health[0] == "penstock"
    used = [health[1], *yaml.safe_load(last(dockerfile, "CMD"))]
    used += [service["command"][0] for service in services.values() if "build" in service]
    penstock = Path(sys.executable).with_name("penstock")
    for command in sorted(set(used)):
        subprocess.run([penstock, command, "--help"], check=True, capture_output=True)


def test_images_are_pinned(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        assert "build" in service or TAG_WITH_PATCH.match(service["image"])


def test_the_worker_runs_a_module_that_exists(
    root: Path, services: dict[str, dict[str, Any]]
) -> None:
    module, _, name = services["worker"]["command"][1].partition(":")
    source = (root / module.replace(".", "/")).with_suffix(".py").read_text()
    assert re.search(rf"^{name}\b.*=", source, re.MULTILINE)
    assert services["worker"]["deploy"]["replicas"] == 2


def test_the_worker_sees_all_that_its_jobs_read(
    root: Path, services: dict[str, dict[str, Any]]
) -> None:
    mounts = {volume.split(":")[0]: volume for volume in services["worker"]["volumes"]}
    assert all(mount == f"{name}:/app/{name[2:]}:ro" for name, mount in mounts.items())
    documents = {f"./{path.name}" for path in root.glob("*.md")}
    assert set(mounts) == {"./examples", "./docs", *documents}


def test_the_image_is_probed_for_life_alone(dockerfile: list[tuple[str, str]]) -> None:
    health = yaml.safe_load(last(dockerfile, "HEALTHCHECK").partition("CMD ")[2])
    assert health == ["penstock", "health", "--service", "liveness"]


def test_a_worker_has_the_time_to_drain(services: dict[str, dict[str, Any]]) -> None:
    for name in ("gateway", "worker"):
        assert int(services[name]["stop_grace_period"].removesuffix("s")) >= 30


def test_ports_are_published_on_loopback_only(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")


def test_the_server_of_the_composition_is_what_the_promise_needs(
    services: dict[str, dict[str, Any]], server_binary: Path, tmp_path: Path
) -> None:
    command = services["valkey"]["command"]
    assert command[0] == "valkey-server"
    socket = tmp_path / "s"
    here = ["--dir", str(tmp_path), "--port", "0", "--unixsocket", str(socket)]
    server = subprocess.Popen(
        [server_binary, *command[1:], *here], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(socket.exists, "the server listens")
        with Redis(unix_socket_path=str(socket), decode_responses=True) as client:
            expected = {
                "appendfsync": "everysec",
                "appendonly": "yes",
                "maxmemory-policy": "noeviction",
                "save": "",
            }
            assert client.config_get(*expected) == expected
    finally:
        server.kill()
        server.wait()
