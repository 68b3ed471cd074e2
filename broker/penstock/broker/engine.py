"""What the facets of the broker share: the connection, the scripts, and where queues live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from penstock.broker import ids
from penstock.broker.errors import LimitExceeded, NotFound
from penstock.broker.keys import NamespaceKeys, Slot
from penstock.broker.retry import with_retry
from penstock.broker.script import Script, load_script

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from penstock.broker.link import RedisLink
    from penstock.broker.pipeline import Arg
    from penstock.broker.replication import Replication

#: How long an idempotent script is tried, unless the caller knows better (s).
DEFAULT_BUDGET_S: Final = 5.0
#: Most jobs that one call of a script visits, so that none holds the server for long.
SCRIPT_BATCH: Final = 100

MAX_QUEUES: Final = 10_000

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue as the namespace knows it."""

    name: str
    code: str
    partitions: int
    created_ms: int


class Engine:
    """Runs scripts on slots, and resolves queue names and job ids to slots.

    Attributes:
        link: the shared connection.
        names: keys of the namespace.
        namespace: its name.
        partitions: number of partitions of queues that are created here.
        replication: what has replicas confirm writes; None where they are not asked.
    """

    def __init__(self, link: RedisLink, namespace: str, partitions: int = 1) -> None:
        self.link = link
        self.namespace = namespace
        self.names = NamespaceKeys(namespace)
        self.partitions = partitions
        self.replication: Replication | None = None
        self._queues: dict[str, QueueInfo] = {}
        self._names_by_code: dict[str, str] = {}
        self._slots: dict[tuple[str, int], Slot] = {}

    async def run(
        self, script: Script, keys: list[bytes], *args: Arg, budget_s: float = DEFAULT_BUDGET_S
    ) -> Any:  # noqa: ANN401 - each caller knows the shape of its script's reply.
        """Runs an idempotent script, again and again until it succeeds or the budget is spent."""
        return await with_retry(
            lambda: script.run(self.link, keys, args), link=self.link, budget_s=budget_s
        )

    async def write(
        self, script: Script, keys: list[bytes], *args: Arg, budget_s: float = DEFAULT_BUDGET_S
    ) -> Any:  # noqa: ANN401 - as run.
        """As `run`, for what a caller is told has happened: where they are asked, replicas have it.

        Raises:
            NotReplicated: they do not confirm it.
        """
        return await with_retry(
            lambda: self.held(script.run(self.link, keys, args)), link=self.link, budget_s=budget_s
        )

    def held(self, flight: Awaitable[_T]) -> Awaitable[_T]:
        """A command under way, whose answer is held back until replicas have it, if asked for.

        Args:
            flight: just issued; the result is to be awaited in the same turn of the event loop.
        """
        return flight if self.replication is None else self.replication.hold(flight)

    async def now_ms(self, budget_s: float = DEFAULT_BUDGET_S) -> int:
        """The time by the server's clock."""
        link = self.link
        seconds, micros = await with_retry(lambda: link.call("TIME"), link=link, budget_s=budget_s)
        return int(seconds) * 1000 + int(micros) // 1000

    def slot(self, code: str, partition: int) -> Slot:
        """The slot of one partition; the same object every time, since its keys are cached."""
        slot = self._slots.get((code, partition))
        if slot is None:
            slot = Slot(self.names.code, code, partition)
            self._slots[code, partition] = slot
        return slot

    def slots(self, queue: QueueInfo) -> list[Slot]:
        """All slots of a queue."""
        return [self.slot(queue.code, partition) for partition in range(queue.partitions)]

    async def ensure_queue(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> QueueInfo:
        """The queue of that name, created if it is new.

        Raises:
            LimitExceeded: there are too many queues, or two names share a code (about one chance
                in a million at 1,000 queues: choose another name).
        """
        known = self._queues.get(name)
        if known is not None:
            return known
        code = ids.queue_code(self.namespace, name)
        kind, *rest = await self.run(
            CREATE_QUEUE,
            [self.names.queues()],
            name,
            code,
            self.partitions,
            MAX_QUEUES,
            budget_s=budget_s,
        )
        if kind == b"full":
            msg = f"the namespace has {MAX_QUEUES} queues already"
            raise LimitExceeded(msg)
        if kind == b"collision":
            msg = (
                f"the queue {name!r} cannot be told from {rest[0].decode()!r}; choose another name"
            )
            raise LimitExceeded(msg)
        return self._remember(name, rest[0])

    def known_queue(self, name: str) -> QueueInfo | None:
        """The queue of that name, if this process has met it."""
        return self._queues.get(name)

    async def queue(self, name: str, budget_s: float = DEFAULT_BUDGET_S) -> QueueInfo:
        """The queue of that name. Raises NotFound if nobody ever used it."""
        known = self._queues.get(name)
        if known is None:
            await self.queues(budget_s)
            known = self._queues.get(name)
        if known is None:
            raise NotFound("queue", name)
        return known

    async def queues(self, budget_s: float = DEFAULT_BUDGET_S) -> list[QueueInfo]:
        """All queues, by name."""
        flat = await with_retry(
            lambda: self.link.call("HGETALL", self.names.queues()),
            link=self.link,
            budget_s=budget_s,
        )
        found = [
            self._remember(name.decode(), entry)
            for name, entry in zip(flat[::2], flat[1::2], strict=True)
        ]
        return sorted(found, key=lambda queue: queue.name)

    async def locate(
        self, job_id: str, budget_s: float = DEFAULT_BUDGET_S
    ) -> tuple[Slot, str, str]:
        """Slot, tail and queue name of a job id. Raises NotFound where it cannot be one of ours.

        The slot is built from this engine's namespace, so that the id of another namespace's job
        leads nowhere.
        """
        parts = ids.split(job_id)
        if parts is None:
            raise NotFound("job", job_id)
        partition, code, tail = parts
        queue = self._by_code(code)
        if queue is None:
            await self.queues(budget_s)
            queue = self._by_code(code)
        if queue is None or partition >= queue.partitions:
            raise NotFound("job", job_id)
        return self.slot(code, partition), tail, queue.name

    def queue_name(self, code: str) -> str:
        """Name of a queue that this engine has met."""
        return self._names_by_code[code]

    def forget(self) -> None:
        """Looks queues up again at the next chance: the server may have lost those made last."""
        self._queues.clear()  # Names are kept, since a code always stands for the same one.

    def _by_code(self, code: str) -> QueueInfo | None:
        name = self._names_by_code.get(code)
        return None if name is None else self._queues.get(name)

    def _remember(self, name: str, entry: bytes) -> QueueInfo:
        code, partitions, created = entry.decode().split()
        queue = QueueInfo(name, code, int(partitions), int(created))
        self._queues[name] = queue
        self._names_by_code[code] = name
        return queue


CREATE_QUEUE = load_script("create_queue")
