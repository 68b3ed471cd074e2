"""A backup that was taken under load is restored: its jobs run again, under higher tokens.

The steps are those of docs/backup.md, for each of the two ways that it tells.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
from redis import Redis

from penstock.broker import Broker
from penstock.client import AsyncClient, CursorOutOfRange, JobState, NotFound, SubmitOutcome
from penstock.runtime.embedded import EmbeddedServer
from tests.support.processes import Fleet, free_port
from tests.support.waiting import eventually, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP: Final = "tests.faults.backup_app:app"
#: Generous: reached by a failing test alone.
PATIENCE_S: Final = 60.0
#: Jobs that are acknowledged before the backup begins, while others go on.
BEFORE: Final = 100
RUNNING, WAITING, LATE, CACHED = 1, 2, 3, 4
LOAD_FROM: Final = 1000


class Store:
    """A server, the copies that are made of its data, and their way back."""

    def __init__(self, binary: Path, folder: Path) -> None:
        self._binary = binary
        self._data = folder / "data"
        self._copy = folder / "copy"
        self._port = free_port()
        self.server = self._started()

    @contextmanager
    def _redis(self) -> Iterator[Redis]:
        with Redis(unix_socket_path=str(self.server.socket_path)) as redis:
            yield redis

    def back_up(self, way: str) -> None:
        """Copies the data, while the server serves."""
        with self._redis() as redis:
            if way == "dump":
                before = redis.lastsave()
                redis.bgsave()
                wait_until(
                    lambda: not redis.info("persistence")["rdb_bgsave_in_progress"],
                    "the dump is written",
                    within_s=PATIENCE_S,
                )
                assert redis.lastsave() >= before
                self._copy.mkdir()
                shutil.copy(self._data / "dump.rdb", self._copy)
                return
            redis.config_set("auto-aof-rewrite-percentage", 0)
            wait_until(
                lambda: not redis.info("persistence")["aof_rewrite_in_progress"],
                "no rewrite is under way",
                within_s=PATIENCE_S,
            )
            shutil.copytree(self._data / "appendonlydir", self._copy / "appendonlydir")
            redis.config_set("auto-aof-rewrite-percentage", 100)

    def restore(self, way: str) -> None:
        """Ends the server, and starts it anew on the copy."""
        self.server.stop()
        shutil.rmtree(self._data)
        shutil.copytree(self._copy, self._data)
        if way == "files":
            self.server = self._started()
            return
        # A server that is to have an append-only file, and finds none, reads no dump.
        self.server = self._started(appendonly="no")
        with self._redis() as redis:
            redis.config_set("appendonly", "yes")

    def stop(self) -> None:
        self.server.stop()

    def _started(self, **options: str) -> EmbeddedServer:
        return EmbeddedServer(
            self._data,
            binary=self._binary,
            port=self._port,
            appendfsync="always",
            options=options,
        ).start()


class Journal:
    """What handlers noted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._path = folder / "journal"
        self._path.touch()
        self._gate = folder / "gate"
        monkeypatch.setenv("PENSTOCK_TEST_JOURNAL", str(self._path))
        monkeypatch.setenv("PENSTOCK_TEST_GATE", str(self._gate))

    def tokens(self, number: int) -> list[int]:
        """Of all attempts that were started, in order."""
        lines = [line.split() for line in self._path.read_text().splitlines()]
        return [int(token) for which, token in lines if int(which) == number]

    async def started(self, times: int) -> None:
        """Returns once the job that holds was started so often."""
        await eventually(
            lambda: len(self.tokens(RUNNING)) >= times,
            f"the job is started for the {times}. time",
            within_s=PATIENCE_S,
        )

    def open(self) -> None:
        """Lets it end."""
        self._gate.touch()


@pytest.fixture
def store(server_binary: Path, tmp_path: Path) -> Iterator[Store]:
    store = Store(server_binary, tmp_path)
    try:
        yield store
    finally:
        store.stop()


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    return Journal(tmp_path, monkeypatch)


@pytest.fixture
def fleet(store: Store, tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(store.server.url, tmp_path) as fleet:
        yield fleet


@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", ["files", "dump"])
async def test_what_a_backup_holds_goes_on(
    store: Store, fleet: Fleet, journal: Journal, way: str
) -> None:
    port = free_port()
    fleet.gateway(port)
    first = fleet.worker(APP, lease_s=2)
    async with AsyncClient(f"127.0.0.1:{port}", timeout=PATIENCE_S) as client:
        await _registered(store.server.url)
        running = await client.submit("hold", RUNNING)
        waiting = await client.submit("note", WAITING, queue="later")
        await journal.started(1)
        cached = await client.submit("note", CACHED, cache_ttl=3600)
        assert await cached.result(timeout=PATIENCE_S) == CACHED
        acknowledged = await _backed_up_under_load(client, store, way)

        # All of this happens after the backup, and is undone by its restoration.
        late = await client.submit("note", LATE, request_id="late")
        assert await late.result(timeout=PATIENCE_S) == LATE
        cancelled = await waiting.cancel()
        await client.invalidate("note")
        first.kill()
        fleet.worker(APP, lease_s=2)
        await journal.started(2)
        await asyncio.to_thread(store.restore, way)

        with pytest.raises(NotFound):
            await client.status(late.job_id)
        assert (await waiting.status()).state is JobState.QUEUED
        with pytest.raises(CursorOutOfRange):
            await anext(waiting.watch(after=cancelled.last_sequence))
        again = await client.submit("note", CACHED, cache_ttl=3600)
        assert again.outcome is SubmitOutcome.CACHED, "see the page: invalidate it anew"

        # The second worker still runs the job, by a grant that the data of old know nothing of.
        fleet.worker(APP, lease_s=2, queues="default,later")
        await journal.started(3)
        journal.open()
        held = await running.wait(timeout=PATIENCE_S)
        tokens = journal.tokens(RUNNING)
        assert tokens == sorted(set(tokens)), "a token was given twice, or fell"
        assert held.result == held.fencing_token == tokens[-1]

        assert await waiting.result(timeout=PATIENCE_S) == WAITING
        for job_id in acknowledged:
            job = await client.wait(job_id, timeout=PATIENCE_S)
            assert job.state is JobState.SUCCEEDED
        again = await client.submit("note", LATE, request_id="late")
        assert (again.job_id, again.outcome) == (late.job_id, SubmitOutcome.CREATED)
        assert await again.result(timeout=PATIENCE_S) == LATE
        assert len(set(journal.tokens(LATE))) == 2


async def _backed_up_under_load(client: AsyncClient, store: Store, way: str) -> list[str]:
    """Takes a backup while jobs are submitted and run; those acknowledged before it began."""
    acknowledged: list[str] = []
    stopping = asyncio.Event()

    async def submit() -> None:
        while not stopping.is_set():
            handle = await client.submit("note", LOAD_FROM + len(acknowledged))
            acknowledged.append(handle.job_id)

    async with asyncio.TaskGroup() as group:
        group.create_task(submit())
        await eventually(
            lambda: len(acknowledged) >= BEFORE, "jobs are acknowledged", within_s=PATIENCE_S
        )
        before = list(acknowledged)
        await asyncio.to_thread(store.back_up, way)
        stopping.set()
    return before


async def _registered(redis_url: str) -> None:
    async with Broker(redis_url) as broker:

        async def registered() -> bool:
            return bool(await broker.registry.types())

        await eventually(registered, "a worker has registered", within_s=PATIENCE_S)
