"""A small world: one server that loses disk, power or clock, and a load in this process.

Where every acknowledged job must survive, the large one (`world.World`) and its checker see more.
This one is for what is lost by agreement, and must be counted.
"""

from __future__ import annotations

import asyncio
import math
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from penstock.broker import Broker
from penstock.client import AsyncClient, JobState, NotFound, PenstockError, SubmitOutcome
from tests.broker.audit import audit
from tests.chaos.history.journal import read_journals
from tests.chaos.server.server import ChaosServer
from tests.support.processes import Fleet, free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from penstock.client import Durability, Job
    from tests.chaos.scenario import Run

__all__ = [
    "Ack",
    "Load",
    "SmallWorld",
    "check_tokens",
    "expect_all_done",
    "expect_kept",
    "expect_sound",
]

APP: Final = "tests.chaos.handlers.small:app"


class SmallWorld:
    """A server with shims, one gateway, and workers.

    Args:
        run: gives folder, binary and seed.
        name: of its folder, where a run has several.
        appendfsync: of the server.
        shims: of the server.
        options: further directives of its configuration.
        data_dir: where it persists, if not in the run's folder.
        workers: how many processes.
        settings: of gateway and workers alike: min_durability, ...
        worker_settings: of workers alone.
        gateway_env: further variables of the gateway's environment.
        worker_env: further variables of the workers' environment.
    """

    def __init__(
        self,
        run: Run,
        *,
        name: str = "world",
        appendfsync: Literal["always", "everysec", "no"] = "always",
        shims: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        data_dir: Path | None = None,
        workers: int = 1,
        settings: Mapping[str, object] | None = None,
        worker_settings: Mapping[str, object] | None = None,
        gateway_env: Mapping[str, str] | None = None,
        worker_env: Mapping[str, str] | None = None,
    ) -> None:
        self.run = run
        self.folder = run.folder / name
        self.journals = self.folder / "journals"
        self.server = ChaosServer(
            self.folder,
            run.server_binary,
            appendfsync=appendfsync,
            shims=shims,
            options=options,
            data_dir=data_dir,
        )
        self._workers = workers
        self._settings = dict(settings or {})
        self._worker_settings = {"lease_s": 2, **(worker_settings or {})}
        self._gateway_env = gateway_env
        self._worker_env = worker_env
        self._stack = AsyncExitStack()
        self._fleets: list[Fleet] = []
        self.gateway: subprocess.Popen[bytes]
        self.workers: list[subprocess.Popen[bytes]] = []
        self.client: AsyncClient
        self.address: str

    async def __aenter__(self) -> Self:
        async with self._stack:
            await asyncio.to_thread(self.server.start)
            self._stack.push_async_callback(asyncio.to_thread, self.server.stop)
            self.run.result.server = self.server.title
            port = free_port()
            gateways = self._fleet("gateway", self._gateway_env)
            workers = self._fleet(
                "worker",
                {"PENSTOCK_CHAOS_JOURNALS": str(self.journals), **(self._worker_env or {})},
            )
            self._stack.push_async_callback(asyncio.to_thread, self._end)
            self.gateway = await asyncio.to_thread(gateways.gateway, port, **self._settings)
            self.workers = [
                workers.worker(APP, **self._settings, **self._worker_settings)
                for _ in range(self._workers)
            ]
            self.address = f"127.0.0.1:{port}"
            self.client = await self._stack.enter_async_context(
                AsyncClient(self.address, timeout=60)
            )
            await self.working()
            self._stack = self._stack.pop_all()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._stack.aclose()

    async def trouble(self, within_s: float = 20.0) -> str:
        """What a client that does not repeat its call is told of a submit; "" if it is accepted."""
        async with AsyncClient(self.address, retry_for=0.0) as client:
            try:
                await client.submit("tally", -1, rpc_timeout=within_s)
            except PenstockError as error:
                return type(error).__name__
        return ""

    async def working(self, within_s: float = 60) -> float:
        """Returns once a job that is submitted now has run; how long that took, in ms."""
        began = time.monotonic()
        async with asyncio.timeout(within_s):
            handle = await self.client.submit(
                "tally", -1, rpc_timeout=within_s, allow_unregistered=True
            )
            await handle.result(timeout=within_s)
        return (time.monotonic() - began) * 1000

    def logs(self) -> str:
        """What gateways and workers have logged."""
        return "\n".join(
            path.read_text(errors="replace") for path in sorted(self.folder.glob("*/process-*.log"))
        )

    def _fleet(self, name: str, env: Mapping[str, str] | None) -> Fleet:
        folder = self.folder / name
        folder.mkdir(parents=True)
        fleet = Fleet(self.server.url, folder, env=env)
        self._fleets.append(fleet)
        return fleet

    def _end(self) -> None:
        for fleet in self._fleets:
            fleet.__exit__(None, None, None)


@dataclass(frozen=True, slots=True)
class Ack:
    """An acknowledged submit.

    Attributes:
        number: what was submitted; its request id is made of it.
        job_id: as answered.
        at: when, in seconds of the monotonic clock.
        durability: as answered.
    """

    number: int
    job_id: str
    at: float
    durability: Durability | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome as a client was told it, and when (s, monotonic)."""

    job_id: str
    result: bytes | None
    at: float


@dataclass
class Load:
    """Submits jobs and waits for some of them, from several tasks, until it is left.

    Attributes:
        client: submits.
        tasks: how many submit at once.
        pause_s: between two submits of a task, in seconds.
        acks: every acknowledged submit, by number.
        outcomes: every outcome that was waited for, by number.
        errors: of submits and waits that failed, by the name of the exception.
        missing: numbers of jobs that were waited for, and are not known.
        slowest_s: how long the slowest acknowledged submit took.
    """

    client: AsyncClient
    tasks: int = 6
    pause_s: float = 0.02
    first: int = 0
    acks: dict[int, Ack] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    missing: set[int] = field(default_factory=set)
    slowest_s: float = 0.0

    def __post_init__(self) -> None:
        self._stopping = asyncio.Event()
        self._group: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._group = [
            asyncio.create_task(self._submit(self.first + number)) for number in range(self.tasks)
        ]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self._stopping.set()
        if kind is not None:
            for task in self._group:
                task.cancel()
            await asyncio.wait(self._group)
        else:
            await asyncio.gather(*self._group)

    async def more(self, count: int, within_s: float = 60) -> None:
        """Returns once so many more submits are acknowledged."""
        goal = len(self.acks) + count
        await eventually(
            lambda: len(self.acks) >= goal, f"{count} more jobs are acknowledged", within_s=within_s
        )

    async def again(self, ack: Ack) -> SubmitOutcome:
        """Submits the same once more. Returns what the receipt says."""
        handle = await self.client.submit("tally", ack.number, request_id=_request_id(ack.number))
        assert handle.submitted is not None
        assert handle.job_id == ack.job_id, f"{ack} became {handle.job_id}"
        return handle.submitted.outcome

    async def look(self, acks: Sequence[Ack]) -> dict[int, Job | None]:
        """What the service knows of those jobs now, by number; None where it knows nothing."""
        gate = asyncio.Semaphore(20)

        async def look(ack: Ack) -> tuple[int, Job | None]:
            async with gate:
                try:
                    return ack.number, await self.client.status(ack.job_id)
                except NotFound:
                    return ack.number, None

        return dict(await asyncio.gather(*(look(ack) for ack in acks)))

    async def _submit(self, number: int) -> None:
        while not self._stopping.is_set():
            await self._submit_one(number)
            number += self.tasks
            await asyncio.sleep(self.pause_s)

    async def _submit_one(self, number: int) -> None:
        began = time.monotonic()
        try:
            handle = await self.client.submit("tally", number, request_id=_request_id(number))
        except PenstockError as error:
            self._note(error)
            await asyncio.sleep(0.1)
            return
        now = time.monotonic()
        self.slowest_s = max(self.slowest_s, now - began)
        assert handle.submitted is not None
        self.acks[number] = Ack(number, handle.job_id, now, handle.submitted.durability)
        if number % 3 == 0:
            await self._wait(number, handle.job_id)

    def _note(self, error: PenstockError) -> None:
        name = type(error).__name__
        self.errors[name] = self.errors.get(name, 0) + 1

    async def _wait(self, number: int, job_id: str) -> None:
        try:
            job = await self.client.wait(job_id, timeout=60)
        except NotFound:
            self.missing.add(number)
        except PenstockError as error:
            self._note(error)
        else:
            if job.state is JobState.SUCCEEDED:
                self.outcomes[number] = Outcome(job_id, job.result_bytes, time.monotonic())


def _request_id(number: int) -> str:
    return f"small-{number}"


async def expect_kept(world: SmallWorld, load: Load, text: str, since: float = math.inf) -> None:
    """Expects that no job is gone that was acknowledged before a time (s, monotonic)."""
    acks = [ack for ack in load.acks.values() if ack.at < since]
    gone = [number for number, job in (await load.look(acks)).items() if job is None]
    world.run.result.expect(
        not gone,
        "I1",
        f"{text}: {len(gone)} of {len(acks)} acknowledged jobs are gone",
        *(str(load.acks[number]) for number in gone[:3]),
    )


async def expect_all_done(world: SmallWorld, load: Load, within_s: float = 60) -> None:
    """Expects that all acknowledged jobs succeed, and that none lost a worker on the way."""
    jobs: dict[int, Job | None] = {}

    async def all_done() -> bool:
        missing = [ack for number, ack in load.acks.items() if not _is_done(jobs.get(number))]
        jobs.update(await load.look(missing))
        return all(map(_is_done, jobs.values()))

    with suppress(AssertionError):
        await eventually(all_done, "all jobs have ended", within_s=within_s)
    for ack in load.acks.values():
        job = jobs.get(ack.number)
        world.run.result.expect(
            job is not None and job.state is JobState.SUCCEEDED,
            "I1",
            f"job {ack.job_id} has not succeeded",
            str(job),
        )


async def expect_sound(world: SmallWorld) -> None:
    """Expects that what is stored agrees with itself; no job may be under way."""
    async with Broker(world.server.url) as broker:
        for fault in await audit(broker):
            world.run.result.expect(None, "I10", fault)


def _is_done(job: Job | None) -> bool:
    return job is not None and job.done


def check_tokens(world: SmallWorld) -> None:
    """Expects that no two executions of a job had one token, nor a later one a lower token."""
    newest: dict[str, Any] = {}
    for line in read_journals(world.journals):
        if line.kind != "start":
            continue
        before = newest.get(line["job"])
        world.run.result.expect(
            before is None or before["token"] < line["token"],
            "I6",
            f"the fencing token {line['token']} of job {line['job']} does not rise",
            str(before),
            str(line),
        )
        newest[line["job"]] = line
