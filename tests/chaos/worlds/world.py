"""One server, gateways, workers and clients as processes, with links between them that can fail."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from penstock.broker import FailureReason, ids
from penstock.broker.keys import NamespaceKeys, Slot
from penstock.client import AsyncClient, NotFound, PenstockError, StatusError, WaitTimeout
from tests.chaos.checker.scene import Expectations
from tests.chaos.history.journal import Journal
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.load.client import ClientSettings
from tests.chaos.load.plan import QUEUE, TYPES, Plan
from tests.chaos.load.recorder import Recorder, Submit
from tests.chaos.load.schedule_calls import ScheduleCalls
from tests.chaos.load.topic_calls import SUBSCRIPTIONS, TopicCalls
from tests.chaos.server.server import ChaosServer
from tests.chaos.worlds.bounds import write_bounds
from tests.chaos.worlds.closing import close_books
from tests.chaos.worlds.member import Crew, Member
from tests.chaos.worlds.server_date import ServerDate
from tests.chaos.worlds.supervisor import supervise
from tests.support.processes import free_port
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Literal

    from tests.chaos.scenario import Run

__all__ = ["World"]

APP: Final = "tests.chaos.handlers.planned:app"
_START_S: Final = 60.0
_STOP_S: Final = 60.0
#: How long the server may be away for those who ask it something past the links (s).
_SERVER_AWAY_S: Final = 60.0
_AWAY: Final = (RedisConnectionError, RedisTimeoutError)
_PROBE_S: Final = 1.0
#: In the record: a job that kills the process that runs it.
SUICIDE: Final = "a job kills its worker"
_LOOK_S: Final = 0.1
#: What a slot counts of the jobs that have ended in it.
_ENDS: Final = (
    *("succeeded", "cache_hits", "cancelled", "expired"),
    *(f"failed:{reason}" for reason in FailureReason),
)


class World:
    """All processes of a run. An async context manager: it starts them, and leaves none behind.

    Args:
        run: that it is for.
        gateways: how many.
        workers: how many.
        clients: how many processes of many sessions each; 0 is none but `client`.
        appendfsync: of the server.
        lease_s: of the workers.
        max_crashes: of gateways and workers; a job has many in a run of many kills.
        server_options: further directives of the server.
        gateway_settings: by the names of `ServerSettings`.
        worker_settings: by the names of `WorkerSettings`.
        client_settings: by the names of `ClientSettings`.
        shims: of the server; see `ChaosServer`.
        env: further variables of gateways and workers.
        app: of the workers.
        crew: starts the processes.

    Attributes:
        run: as given.
        server: it is killed and started here.
        date: of the server.
        gateways: the processes, likewise.
        workers: likewise.
        clients: likewise.
        targets: the gateways' addresses, host:port with commas between them.
        journals: the folder of the history.
        journal: of the harness itself.
        gateway_link: between the gateways and the server.
        worker_link: between the workers and the server.
        lease_s: as given.
    """

    def __init__(
        self,
        run: Run,
        *,
        gateways: int = 2,
        workers: int = 3,
        clients: int = 2,
        appendfsync: Literal["always", "everysec", "no"] = "always",
        lease_s: float = 2.0,
        max_crashes: int = 50,
        server_options: Mapping[str, str] | None = None,
        gateway_settings: Mapping[str, object] | None = None,
        worker_settings: Mapping[str, object] | None = None,
        client_settings: Mapping[str, Any] | None = None,
        shims: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        app: str = APP,
        crew: type[Crew] = Crew,
    ) -> None:
        self.run = run
        self.lease_s = lease_s
        self.journals = run.folder / "journals"
        self.journal = Journal(self.journals, "harness")
        self.server = ChaosServer(
            run.folder / "server",
            run.server_binary,
            appendfsync=appendfsync,
            options=server_options or {},
            shims=shims,
        )
        self.date = ServerDate(self.server.preload.clock_offset, self.journal)
        self._durability = {"no": ""}.get(appendfsync, appendfsync.upper())
        self._numbers = (gateways, workers, clients)
        self._gateway_settings: dict[str, Any] = {
            "max_crashes": max_crashes,
            **(gateway_settings or {}),
        }
        self._worker_settings = {
            "max_crashes": max_crashes,
            "lease_s": lease_s,
            "drain_grace_s": 2.0,
            "stop_grace_s": 1.0,
            **(worker_settings or {}),
        }
        self._client_settings = dict(client_settings or {})
        self._env = dict(env or {})
        self._app = app
        self._crew = crew
        self._stack = AsyncExitStack()
        self._keeping: asyncio.Task[None] | None = None
        self._ports = [free_port() for _ in range(gateways)]
        self._ops = itertools.count(1)
        self._probes = itertools.count(1)
        self._finished = False
        self.targets = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        self.gateways: list[Member] = []
        self.workers: list[Member] = []
        self.clients: list[Member] = []

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _start(self) -> None:
        stack = self._stack
        stack.callback(self.journal.close)
        self._tell_date()
        stack.push_async_callback(asyncio.to_thread, self.server.stop)
        await asyncio.to_thread(self.server.start)
        self.run.result.server = self.server.title
        self.gateway_link = await stack.enter_async_context(
            FaultProxy("127.0.0.1", self.server.port)
        )
        self.worker_link = await stack.enter_async_context(
            FaultProxy("127.0.0.1", self.server.port)
        )
        self._redis = redis.asyncio.Redis.from_url(self.server.url, protocol=2)
        stack.push_async_callback(self._redis.aclose)
        crew = self._crew()
        stack.push_async_callback(asyncio.to_thread, crew.close)
        self._populate(crew)
        for member in (*self.gateways, *self.workers):
            member.start()
        self._probing = await stack.enter_async_context(self.client())
        await self.working()
        for member in self.clients:
            member.start()
        self._keeping = asyncio.create_task(supervise(self))

    async def __aexit__(self, *_error: object) -> None:
        await self._stop_keeping()
        for member in self.members:
            if member.alive:
                member.kill()
        await self._stack.aclose()

    def client(self, **options: Any) -> AsyncClient:  # noqa: ANN401 - the arguments of AsyncClient.
        """A client of all gateways."""
        return AsyncClient(f"ipv4:{self.targets}", **options)

    @property
    def members(self) -> tuple[Member, ...]:
        """All processes but the server."""
        return (*self.clients, *self.workers, *self.gateways)

    def kill(self, member: Member) -> str:
        """Ends a process by SIGKILL, and journals it. Returns its name."""
        name = member.name
        self.journal.write("killed", target=name)
        member.kill()
        return name

    async def redis(self, *command: str | bytes | float) -> Any:  # noqa: ANN401 - by command.
        """Sends the server a command past the links; waits where it is away."""
        give_up = asyncio.get_running_loop().time() + _SERVER_AWAY_S
        while True:
            try:
                return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
            except RedisError as error:
                passes = isinstance(error, _AWAY) or str(error).startswith("BUSY")
                if not passes or asyncio.get_running_loop().time() > give_up:
                    raise
                await asyncio.sleep(_LOOK_S)

    async def working(self, within_s: float = _START_S) -> float:
        """Waits until a short job that was submitted after this call has run.

        Returns:
            How long that took (s).

        Raises:
            TimeoutError: none has run in time.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        calls = Recorder(self._probing, self.journal, self._ops)
        name = f"probe-{next(self._probes)}"
        plan: Plan = {"work": name}
        # Before all that may have piled up: whether it works is asked, not how fast. Workers may
        # still be starting.
        options: dict[str, Any] = {"queue": QUEUE, "max_attempts": 30, "priority": "high"}
        options["allow_unregistered"] = True
        submit = Submit(TYPES[0], plan, name, options)
        job = ""
        while True:
            try:
                job = job or await calls.submit(submit, rpc_timeout=_PROBE_S)
                if (await calls.wait(job, _PROBE_S)).done:
                    return loop.time() - began
            except WaitTimeout:
                pass
            except StatusError:
                await asyncio.sleep(_LOOK_S / 2)
            if loop.time() - began > within_s:
                raise TimeoutError(f"nothing has worked for {within_s:g} s")

    async def accepting(self, gateway: Member, within_s: float = _START_S) -> None:
        """Waits until a gateway that was started is ready.

        Raises:
            TimeoutError: it was not in time.
        """
        port = self._ports[self.gateways.index(gateway)]
        async with asyncio.timeout(within_s), AsyncClient(f"127.0.0.1:{port}") as client:
            while True:
                if await _is_ready(client):
                    return
                await asyncio.sleep(_LOOK_S)

    async def stop_clients(self, within_s: float = 180.0) -> None:
        """Has the clients begin nothing new; returns when they have followed all to its end."""
        for member in self.clients:
            if member.alive:
                member.terminate()
        for member in self.clients:
            await self.ended(member, within_s)

    async def settled(self, within_s: float = 180.0) -> None:
        """Stops the clients, and waits until no job is left that has not ended.

        Raises:
            AssertionError: some are left.
        """
        await self.stop_clients()
        await self._end_schedules()

        async def no_live_job() -> bool:
            try:
                stats = await self._probing.queue_stats(QUEUE)
            except NotFound:
                return True
            except PenstockError:
                return False
            waiting = sum(stats.waiting.values())
            if waiting or stats.running or stats.scheduled:
                return False
            # Nor one that stands nowhere now, since foreign hands took it, and is to be put back.
            return not await self._live()

        await eventually(no_live_job, "all jobs have ended", within_s=within_s)

    async def subscribe(self) -> None:
        """Makes the subscriptions of the workers, as they do themselves, and hears of it."""
        calls = TopicCalls(self._probing, self.journal, self._ops)
        for name, pattern in SUBSCRIPTIONS.items():
            await _surely(partial(calls.subscribe, name, pattern))

    async def _end_schedules(self) -> None:
        """Deletes those whose clients were killed."""
        calls = ScheduleCalls(self._probing, self.journal, self._ops)
        left: list[str] = []

        async def look() -> None:
            left[:] = [info.schedule_id async for info in self._probing.schedules()]

        await _surely(look)
        for name in left:
            await _surely(partial(calls.delete_schedule, name))

    def _tell_date(self) -> None:
        """So that dates of the server and times of the history can be compared."""
        self.journal.write("date", date_ns=time.time_ns())

    async def _live(self) -> int:
        """How many jobs have not ended or were given up, by the books of their slots."""
        live = 0
        names, code = NamespaceKeys("default"), ids.queue_code("default", QUEUE)
        for member in await self.redis("ZRANGE", names.active(), 0, -1):
            queue, _, partition = member.decode().partition(":")
            if queue == code:
                slot = Slot(names.code, queue, int(partition))
                counts = await self.redis("HMGET", slot.base, "submitted", "adrift", *_ENDS)
                submitted, adrift, *ended = (int(count or 0) for count in counts)
                live += submitted - sum(ended) + abs(adrift)
        return live

    async def finish(self, expectations: Expectations | None = None) -> None:
        """Ends the run: all is made whole, drained, written down and checked.

        Args:
            expectations: what the history is checked against, if not the usual for this world.
        """
        self.gateway_link.restore()
        self.worker_link.restore()
        self.date.to_the_latest()
        for member in self.members:
            if member.alive:
                member.resume()
        self.run.say("waiting for the last jobs")
        try:
            await self.working()
            await self.settled()
            busy = [each for each in (*self.gateways, *self.workers) if each.alive]
            await write_bounds(self, busy, self.journal)
        except (TimeoutError, AssertionError) as error:
            self.run.result.expect(None, "I1", f"the run does not come to rest: {error}")
        await self._stop_keeping()
        await self.stop_members()
        self._tell_date()
        await close_books(self, expectations or self.expectations())

    def expectations(self, **others: Any) -> Expectations:  # noqa: ANN401 - its fields.
        """What may be expected of this world, but for other things that a scenario knows."""
        own = {"max_crashes": self._gateway_settings["max_crashes"], "durability": self._durability}
        return Expectations(**{**own, **others})

    async def stop_members(self) -> None:
        """Ends workers and gateways in good order."""
        for member in (*self.workers, *self.gateways):
            if member.alive:
                member.terminate()
        for member in (*self.workers, *self.gateways):
            await self.ended(member, _STOP_S)

    async def ended(self, member: Member, within_s: float) -> None:
        """Waits for a process that was told to end, and judges how it did; kills it if it must."""
        try:
            status = await member.stopped(within_s)
        except TimeoutError as error:
            self.run.result.expect(None, "drain", str(error))
            self.kill(member)
            return
        if member in self.workers and status == -signal.SIGKILL:
            self.note_suicide(member)
            return
        text = f"{member.name} ended with {status}: {member.log}"
        self.run.result.expect(member.ended_well(status), "drain", text)

    def note_suicide(self, worker: Member) -> None:
        """A worker was ended by a job, as the job's plan said."""
        self.run.result.tally(SUICIDE, (5,)).strikes += 1
        self.journal.write("killed", target=worker.name)

    async def _stop_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])
            self._keeping = None

    def _populate(self, crew: Crew) -> None:
        def member(name: str, command: list[str], env: Mapping[str, str]) -> Member:
            folder = self.run.folder
            return Member(crew, name, command, env, folder=folder, journals=self.journals)

        gateways, workers, clients = self._numbers
        for number, port in zip(range(1, gateways + 1), self._ports, strict=True):
            settings = {"listen": f"127.0.0.1:{port}", **self._gateway_settings}
            env = self._environment(self.gateway_link.url, settings)
            self.gateways.append(member(f"gateway-{number}", ["penstock.server"], env))
        env = self._environment(self.worker_link.url, self._worker_settings)
        for number in range(1, workers + 1):
            self.workers.append(member(f"worker-{number}", ["penstock.worker", self._app], env))
        asked = ClientSettings(self.targets, self.run.seed, **self._client_settings)
        env = {"CHAOS_CLIENT": json.dumps(asdict(asked))}
        for number in range(1, clients + 1):
            self.clients.append(member(f"client-{number}", ["tests.chaos.load.client"], env))

    def _environment(self, url: str, settings: Mapping[str, object]) -> dict[str, str]:
        own = {f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
        return {"PENSTOCK_REDIS_URL": url, "PENSTOCK_LOG_FORMAT": "json", **own, **self._env}


async def _surely(call: Callable[[], Awaitable[None]]) -> None:
    """Calls until it is answered. Raises TimeoutError."""
    async with asyncio.timeout(_START_S):
        while True:
            try:
                return await call()
            except PenstockError:
                await asyncio.sleep(_LOOK_S)


async def _is_ready(client: AsyncClient) -> bool:
    try:
        return await client.health(rpc_timeout=_PROBE_S)
    except StatusError:
        return False
