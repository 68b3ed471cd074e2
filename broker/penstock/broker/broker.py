"""The broker: all that Penstock does with Redis, by who asks for it."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from penstock.broker.activity import Activity
from penstock.broker.attempts import Attempts
from penstock.broker.cache import Cache
from penstock.broker.chores import Alarm, Expirer, Promoter, Pruner
from penstock.broker.depths import Depths
from penstock.broker.doorbell import Doorbell
from penstock.broker.engine import Engine
from penstock.broker.errors import UnsafeServer
from penstock.broker.housekeeper import MAX_CRASHES, MAX_RETAINED, Housekeeper
from penstock.broker.jobs import Jobs
from penstock.broker.keys import NamespaceKeys
from penstock.broker.link import RedisLink
from penstock.broker.memory import Memory
from penstock.broker.pipeline import LinkOptions
from penstock.broker.policies import LimitMender, Policies
from penstock.broker.preparer import DEFAULT_IDEMPOTENCY_TTL_MS, Preparer
from penstock.broker.queues import Queues
from penstock.broker.reconciler import Reconciler
from penstock.broker.registry import Registry
from penstock.broker.replication import Replication, ReplicationOptions
from penstock.broker.retry import with_retry
from penstock.broker.scheduler import Scheduler
from penstock.broker.schedules import Schedules
from penstock.broker.script import load_all
from penstock.broker.server_check import (
    PROBE,
    PROBE_TTL_MS,
    Durability,
    check_format,
    check_rights,
    check_server,
    read_info,
    read_settings,
)
from penstock.broker.submitter import Submitter
from penstock.broker.topics import Topics

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.broker.pipeline import Caller


_log = logging.getLogger(__name__)

#: How long a process that needs the server at its start waits for it (s).
CONNECT_PATIENCE_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How a process uses the server.

    Attributes:
        namespace: the tenant whose jobs these are.
        partitions: of queues that this process is the first to use; fixed for a queue's life.
        minimum_durability: weaker servers are refused at start.
        asserted_durability: what the operator says, where the server denies CONFIG GET.
        replication: what is asked of replicas before a caller is answered; None: nothing.
        idempotency_ttl_ms: how long an idempotency key stands for its job.
        max_crashes: a job whose workers vanished so often is quarantined.
        max_retained: ended jobs that a partition keeps per terminal state.
        memory_high_water: the share of the server's maxmemory from which on schedules wait.
        max_queue_depth: jobs that may wait in a queue, unless its policy says otherwise; 0: any.
        client_name: shown by CLIENT LIST.
        coalesce_ms: see `LinkOptions`.
    """

    namespace: str = "default"
    partitions: int = 1
    minimum_durability: Durability = Durability.EVERYSEC
    asserted_durability: Durability | None = None
    replication: ReplicationOptions | None = None
    idempotency_ttl_ms: int = DEFAULT_IDEMPOTENCY_TTL_MS
    max_crashes: int = MAX_CRASHES
    max_retained: int = MAX_RETAINED
    memory_high_water: float = 1.0
    max_queue_depth: int = 0
    client_name: str = "penstock"
    coalesce_ms: float = 0.0


class Broker:
    """The engine over Redis. Use it as an async context manager, inside one event loop.

    Attributes:
        jobs: for those who submit and watch.
        preparer: what a submit asks of the server, for those who measure it.
        attempts: for workers.
        queues: for operators.
        cache: what cached results go by.
        schedules: submits that recur.
        policies: what holds where a submit says nothing.
        depths: how many jobs may wait.
        memory: how full the server is.
        registry: types, schemas, workers.
        topics: subscriptions, rules, and publishing.
        doorbell: who is idle, and whom to wake.
        housekeeper: due jobs, deadlines, lost leases, retention.
        reconciler: rebuilds streams and sets from records.
        engine: slots and scripts, for the other parts of this package and for tests.
        durability: what a caller is answered with: that of the server, as read at the last connect,
            or REPLICATED, where replicas are asked.
    """

    def __init__(self, url: str, options: BrokerOptions | None = None) -> None:
        """Parses the URL. Nothing is dialled yet. Raises ValueError where it is malformed."""
        self.options = options or BrokerOptions()
        link = RedisLink(
            url,
            LinkOptions(client_name=self.options.client_name, coalesce_ms=self.options.coalesce_ms),
        )
        self.durability = Durability.NONE
        self._own_durability = Durability.NONE
        self._has_met_server = False
        self._settings: list[bytes] | None = None
        self._refusal: asyncio.Future[None] | None = None
        link.on_connect += [self._examine, load_all]
        self.engine = Engine(link, self.options.namespace, self.options.partitions)
        if self.options.replication is not None:
            self.engine.replication = Replication(
                url,
                self.engine.names.probe(),
                self.options.replication,
                lambda: link.renew("another server answers for the replicas"),
            )
        self.activity = Activity(self.engine)
        self.doorbell = Doorbell(self.engine)
        self.cache = Cache(self.engine)
        self.policies = Policies(self.engine, self.doorbell)
        self.depths = Depths(self.engine, self.policies, self.options.max_queue_depth)
        self.preparer = Preparer(
            self.engine,
            self.activity,
            self.cache,
            self.policies,
            self.depths,
            self.options.idempotency_ttl_ms,
        )
        submitter = Submitter(self.engine, self.doorbell, self.cache, self.preparer)
        self.jobs = Jobs(self.engine, self.doorbell, submitter)
        self.attempts = Attempts(self.engine, self.activity, self.cache, self.doorbell)
        self.queues = Queues(self.engine, self.jobs)
        self.schedules = Schedules(
            self.engine, self.doorbell, self.activity, self.policies, self.depths
        )
        self.registry = Registry(self.engine)
        self.topics = Topics(self.engine, self.jobs)
        self.memory = Memory(self.engine, self.options.memory_high_water)
        self.reconciler = Reconciler(self.engine, self.activity)
        self.housekeeper = self._housekeeper()

    @property
    def durability_so_far(self) -> Durability:
        """The most that a call which begins now may be answered with, whatever server it meets.

        A call may begin before the first connect. What it writes then is bound by nothing that was
        known before.
        """
        return self.durability if self._has_met_server else Durability.REPLICATED

    @property
    def durability_reached(self) -> Durability | None:
        """What is written now has, as was seen last: less than `durability` where replicas lack it.

        None: nobody knows, since the server is away or is not fit.
        """
        if not self.link.connected:
            return None
        replication = self.engine.replication
        if replication is None or replication.confirmed:
            return self.durability
        return self._own_durability

    @property
    def link(self) -> RedisLink:
        """The shared connection."""
        return self.engine.link

    def start(self) -> None:
        """Begins to connect, in the background, and to stay connected, until `close`."""
        self.link.start()

    def hurry(self) -> None:
        """The process goes down: calls wait no longer for replicas than they have to."""
        if self.engine.replication is not None:
            self.engine.replication.hurry()

    async def close(self) -> None:
        """Ends the connections. Idempotent."""
        await self.link.close()
        if self.engine.replication is not None:
            await self.engine.replication.stop()

    async def probe(self, budget_s: float) -> None:
        """Has the server run a script that writes; returns once it did, as durably as a submit.

        Raises:
            Unavailable: it cannot be reached, or did not answer within budget_s.
            StorageFull: it takes no writes.
            NotReplicated: its replicas do not confirm what is written.
        """
        key = self.engine.names.probe()
        await self.engine.run(PROBE, [key], PROBE_TTL_MS, budget_s=budget_s)
        if self.engine.replication is not None:
            await self.engine.replication.confirm(self.engine.replication.history)

    async def look_again(self, budget_s: float) -> None:
        """Has the server examined as at the start, if its configuration was changed meanwhile.

        What is acknowledged from then on is reported at the level that it has; if that is less than
        asked for, nothing is acknowledged any more.

        Raises:
            Unavailable: it cannot be reached, or did not answer within budget_s.
        """
        link = self.link
        if self._settings is None:
            return  # Nobody may look.
        settings = await with_retry(lambda: read_settings(link), link=link, budget_s=budget_s)
        if settings != self._settings:
            link.renew("the server's configuration was changed")

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            Unavailable: the server cannot be reached.
            UnsafeServer: jobs may not be entrusted to it.
        """
        # Whoever waits here is told of a refusal at once; one that began by `start` goes on trying.
        self._refusal = asyncio.get_running_loop().create_future()
        self.start()
        ready = asyncio.create_task(self.link.ready(CONNECT_PATIENCE_S))
        try:
            await asyncio.wait({ready, self._refusal}, return_when=asyncio.FIRST_COMPLETED)
            await (self._refusal if self._refusal.done() else ready)
        except BaseException:
            ready.cancel()
            await self.close()
            raise
        finally:
            self._refusal.cancel()
            self._refusal = None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def _housekeeper(self) -> Housekeeper:
        return Housekeeper(
            self.engine,
            self.activity,
            self.doorbell,
            self.policies,
            chores={
                "promote": Promoter(self.engine, self.doorbell),
                "schedule": Scheduler(self.engine, self.doorbell, self.policies, self.memory),
                "expire": Expirer(self.engine),
                "prune": Pruner(self.engine, self.options.max_retained),
                "limit": LimitMender(self.policies),
                "repair": Alarm(self.reconciler),
            },
            max_crashes=self.options.max_crashes,
            max_retained=self.options.max_retained,
        )

    async def _examine(self, caller: Caller) -> None:
        """At every connect: it may be another server by now."""
        try:
            info = await read_info(caller)
            durability = await check_server(
                caller,
                info,
                minimum=self.options.minimum_durability,
                asserted=self.options.asserted_durability,
            )
            names = NamespaceKeys(self.options.namespace)
            await check_format(caller, names)
            await check_rights(caller, names)
            self._own_durability = durability
            if self.engine.replication is not None:
                await self.engine.replication.examine(caller, info)
                durability = Durability.REPLICATED
            if durability is not self.durability is not Durability.NONE:
                _log.warning("durability is %s now, not %s", durability.name, self.durability.name)
            self.durability = durability
            self._has_met_server = True
            self._settings = await read_settings(caller)
        except UnsafeServer as error:
            if self._refusal is not None and not self._refusal.done():
                self._refusal.set_exception(error)
            raise
        await self.policies.read(caller)
        self.engine.forget()
        self.activity.forget()
        self.housekeeper.forget()
