"""One server, gateways, workers and clients as processes, with links between them that can fail."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

import redis.asyncio
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from penstock.client import AsyncClient, StatusError
from tests.chaos.checker.scene import Expectations
from tests.chaos.history.journal import Journal
from tests.chaos.link.proxy import FaultProxy
from tests.chaos.load.client import ClientSettings
from tests.chaos.server.server import ChaosServer
from tests.chaos.waiting import when
from tests.chaos.worlds.bounds import write_bounds
from tests.chaos.worlds.closing import close_books
from tests.chaos.worlds.member import Crew, Member
from tests.chaos.worlds.population import Population
from tests.chaos.worlds.prober import Prober
from tests.chaos.worlds.server_date import ServerDate
from tests.chaos.worlds.supervisor import supervise
from tests.support.processes import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.chaos.scenario import Run

__all__ = ["World"]

APP: Final = "tests.chaos.handlers.planned:app"
_START_S: Final = 60.0
_STOP_S: Final = 60.0
#: How long the server may be away for those who ask it something past the links (s).
_SERVER_AWAY_S: Final = 60.0
_AWAY: Final = (RedisConnectionError, RedisTimeoutError)
#: In the record: a job that kills the process that runs it.
SUICIDE: Final = "a job kills its worker"
#: Of the server: it syncs before it answers.
_DURABILITY: Final = "ALWAYS"
_LOOK_S: Final = 0.1
#: Of a call that looks whether a gateway is ready (s).
_READY_S: Final = 1.0


class World:
    """All processes of a run. An async context manager: it starts them, and leaves none behind.

    Args:
        run: that it is for.
        gateways: how many.
        workers: how many.
        clients: how many processes of many sessions each; 0 is none but `client`.
        lease_s: of the workers.
        max_crashes: of gateways and workers; a job has many in a run of many kills.
        server_options: further directives of the server.
        gateway_settings: by the names of `ServerSettings`.
        worker_settings: by the names of `WorkerSettings`.
        client_settings: by the names of `ClientSettings`.
        shims: of the server; see `ChaosServer`.
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
        lease_s: float = 2.0,
        max_crashes: int = 50,
        server_options: Mapping[str, str] | None = None,
        gateway_settings: Mapping[str, object] | None = None,
        worker_settings: Mapping[str, object] | None = None,
        client_settings: Mapping[str, Any] | None = None,
        shims: Sequence[str] = (),
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
            options=server_options or {},
            shims=shims,
        )
        self.date = ServerDate(self.server.preload.clock_offset, self.journal)
        self._numbers = (workers, clients)
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
        self._app = app
        self._crew = crew
        self._stack = AsyncExitStack()
        self._keeping: asyncio.Task[None] | None = None
        self._ports = [free_port() for _ in range(gateways)]
        self.targets = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        population = Population(run.folder, self.journals)
        self._population = population
        self.gateways = population.gateways
        self.workers = population.workers
        self.clients = population.clients

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
        client = await stack.enter_async_context(self.client())
        self._prober = Prober(client, self.journal, self.redis)
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
        return await self._prober.working(within_s)

    async def subscribe(self) -> None:
        """Makes the subscriptions of the workers, as they do themselves, and hears of it."""
        await self._prober.subscribe()

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
        await self._prober.end_schedules()
        await when(self._prober.no_live_job, "all jobs have ended", within_s)

    def _tell_date(self) -> None:
        """So that dates of the server and times of the history can be compared."""
        self.journal.write("date", date_ns=time.time_ns())

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
        own = {
            "max_crashes": self._gateway_settings["max_crashes"],
            "durability": _DURABILITY,
        }
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
        workers, clients = self._numbers
        add = self._population
        add.add_gateways(crew, self._ports, self.gateway_link.url, self._gateway_settings)
        add.add_workers(crew, workers, self._app, self.worker_link.url, self._worker_settings)
        asked = ClientSettings(self.targets, self.run.seed, **self._client_settings)
        add.add_clients(crew, clients, asked)


async def _is_ready(client: AsyncClient) -> bool:
    try:
        return await client.health(rpc_timeout=_READY_S)
    except StatusError:
        return False
