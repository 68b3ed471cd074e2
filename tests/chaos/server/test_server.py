"""A server that loses its power keeps what it had synced, and nothing else."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from penstock.runtime import ServerStartError
from tests.chaos.scenario import Skipped
from tests.chaos.server.durable import DurableFiles
from tests.chaos.server.preload import shims_to_be_had
from tests.chaos.server.server import ChaosServer, NoProofError
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Literal


def spied(
    folder: Path, binary: Path, appendfsync: Literal["always", "everysec", "no"], *more: str
) -> ChaosServer:
    try:
        return ChaosServer(folder, binary, appendfsync=appendfsync, shims=["fsyncspy", *more])
    except Skipped as reason:
        pytest.skip(str(reason))


def fill(server: ChaosServer, count: int) -> None:
    with Redis.from_url(server.url) as client:
        for number in range(count):
            client.rpush("acknowledged", number)


def kept(server: ChaosServer) -> int:
    with Redis.from_url(server.url) as client:
        return int(client.llen("acknowledged"))


def test_always_keeps_all_that_was_acknowledged(tmp_path: Path, server_binary: Path) -> None:
    with spied(tmp_path, server_binary, "always") as server:
        for expected in (100, 200, 300):
            fill(server, 100)
            server.power_cut()
            server.start()
            assert kept(server) == expected


def test_without_fsync_all_is_lost(tmp_path: Path, server_binary: Path) -> None:
    with spied(tmp_path, server_binary, "no") as server:
        fill(server, 100)
        assert server.power_cut() > 100 * len("acknowledged")
        server.start()
        assert kept(server) == 0


def test_everysec_keeps_what_was_synced_before(tmp_path: Path, server_binary: Path) -> None:
    with spied(tmp_path, server_binary, "everysec", "slowfsync") as server:
        fill(server, 100)
        wait_until(lambda: server.unsynced() == 0, "all is synced", within_s=30)
        server.preload.fsync_delay.value = 60_000_000  # No further fsync ends.
        fill(server, 50)
        assert server.power_cut() > 0
        server.preload.fsync_delay.value = 0
        server.start()
        assert kept(server) == 100


def test_a_rewritten_file_counts_as_synced(tmp_path: Path, server_binary: Path) -> None:
    with spied(tmp_path, server_binary, "no") as server:
        fill(server, 100)
        server.ask("BGREWRITEAOF")
        wait_until(
            lambda: "aof_rewrite_in_progress:0" in server.ask("INFO", "persistence"),
            "the file is rewritten",
            within_s=30,
        )
        fill(server, 50)
        server.power_cut()
        server.start()
        assert kept(server) == 100


def test_a_kill_loses_nothing_that_a_later_power_cut_does(
    tmp_path: Path, server_binary: Path
) -> None:
    with spied(tmp_path, server_binary, "no") as server:
        fill(server, 100)
        server.kill()
        server.start()
        assert kept(server) == 100
        server.power_cut()
        server.start()
        assert kept(server) == 0


def test_no_power_is_cut_without_the_shim(tmp_path: Path, server_binary: Path) -> None:
    with (
        ChaosServer(tmp_path, server_binary) as server,
        pytest.raises(NoProofError, match="fsyncspy"),
    ):
        server.power_cut()


def test_a_shim_that_is_not_loaded_is_found_out(tmp_path: Path, server_binary: Path) -> None:
    server = spied(tmp_path, server_binary, "always")
    launcher = tmp_path / "launch-server"
    launcher.write_text(launcher.read_text().replace("LD_PRELOAD=", "LD_NOTHING="))
    try:
        with pytest.raises(NoProofError, match="not loaded"):
            server.start()
    finally:
        server.stop()


def test_a_shim_that_sees_no_fsync_is_found_out(tmp_path: Path, server_binary: Path) -> None:
    with spied(tmp_path, server_binary, "always") as server:
        server.preload.fsync_notes.unlink()
        server.preload.fsync_notes.mkdir()  # Nothing can be noted: the shim ends the server.
        with Redis.from_url(server.url) as client, pytest.raises(RedisConnectionError):
            client.set("key", "value")
        server.preload.fsync_notes.rmdir()


def test_a_file_that_was_cut_is_safe_up_to_there(tmp_path: Path) -> None:
    notes, log = tmp_path / "notes", tmp_path / "aof" / "incr"
    log.parent.mkdir()
    log.write_bytes(b"x" * 90)
    files = DurableFiles(notes, log.parent)
    notes.write_text(f"load\t7\nsync\t7\t80\t{log}\t9\ncut\t7\t60\t{log}\t0\nsync\t")
    files.read()
    assert (files.loaded, files.synced_by, files.unsynced()) == ({7}, {7: 1}, 30)
    with notes.open("a") as file:
        file.write(f"7\t70\t{log}.temp\t9\nrename\t7\t{log}.temp\t{log}\n")
    assert files.unsynced() == 30
    files.forget_notes()
    assert files.cut() == 20
    assert log.stat().st_size == 70


def test_the_clock_of_a_server_can_be_moved(tmp_path: Path, server_binary: Path) -> None:
    try:
        server = ChaosServer(tmp_path, server_binary, shims=["clock"])
    except Skipped as reason:
        pytest.skip(str(reason))
    with server, Redis.from_url(server.url) as client:
        before, _ = client.time()
        server.preload.clock_offset.value = 3600 * 10**9
        # Valkey looks at the clock once in a while only.
        wait_until(lambda: client.time()[0] >= before + 3600, "it is an hour later")
        server.preload.clock_offset.value = -3600 * 10**9
        wait_until(lambda: client.time()[0] < before, "it is an hour earlier")


def test_an_fsync_can_be_slowed_down(tmp_path: Path, server_binary: Path) -> None:
    with spied(tmp_path, server_binary, "always", "slowfsync") as server:
        fill(server, 1)
        server.preload.fsync_delay.value = 300_000
        fill(server, 1)
        server.preload.fsync_delay.value = 0
        assert server.longest_sync_s >= 0.3


def test_it_comes_back_at_its_address_after_it_could_not_start(
    tmp_path: Path, server_binary: Path
) -> None:
    with ChaosServer(tmp_path, server_binary) as server:
        fill(server, 10)
        url, path = server.url, server.append_only_file
        server.kill()
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"\n*", b"\n!", 1))
        with pytest.raises(ServerStartError):
            server.start()
        path.write_bytes(whole)
        server.start()
        assert server.url == url
        assert kept(server) == 10


def test_a_suspended_server_can_be_killed(tmp_path: Path, server_binary: Path) -> None:
    with ChaosServer(tmp_path, server_binary) as server:
        url, pid = server.url, server.pid
        server.pause()
        server.kill()
        server.start()
        assert server.url == url
        assert server.pid != pid
        os.kill(server.pid, 0)


def test_a_machine_without_a_compiler_is_told(
    tmp_path: Path, server_binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shims_to_be_had("fsyncspy") == ()
    with pytest.raises(Skipped, match="compiler"):
        ChaosServer(tmp_path, server_binary, shims=["fsyncspy"])
