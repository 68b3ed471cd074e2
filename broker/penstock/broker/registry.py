"""What workers publish: the job types they handle with their schemas, and that they are alive."""

from __future__ import annotations

import asyncio
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from penstock.broker.engine import DEFAULT_BUDGET_S, Engine
from penstock.broker.retry import with_retry
from penstock.broker.script import load_script

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.errors import Unavailable
    from penstock.broker.pipeline import Arg

REGISTER = load_script("register")
PRUNE_SCHEMAS = load_script("prune_schemas")

#: A version of a schema is live while a worker registered it this lately (s); where none is, the
#: newest one stays live, so that a fleet scaled to zero still has its types.
LIVE_FOR_S: Final = 600
#: How often workers register again (s).
REGISTER_EVERY_S: Final = 120
#: How long a worker is listed after its last heartbeat (s).
WORKER_TTL_S: Final = 60
#: Age of a last heartbeat at which others take a worker off the list; clocks differ by far less.
FORGOTTEN_AFTER_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process as it last reported. Times in ms since the epoch by its own clock."""

    worker_id: str
    host: str
    pid: int
    queues: tuple[str, ...]
    types: tuple[str, ...]
    slots: int
    running: int
    draining: bool
    started_ms: int
    heartbeat_ms: int


def schema_text(schema: Mapping[str, Any]) -> str:
    """A schema in its one canonical form."""
    return json.dumps(schema, sort_keys=True, separators=(",", ":"))


class Registry:
    """Types, schemas and workers of a namespace."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def register_types(
        self, schemas: Mapping[str, Mapping[str, Any]], budget_s: float = DEFAULT_BUDGET_S
    ) -> None:
        """Publishes job types with the JSON schemas of their payloads; {} accepts anything."""
        now = int(time.time() * 1000)
        args: list[Arg] = []
        for name, schema in schemas.items():
            text = schema_text(schema)
            digest = blake2b(text.encode(), digest_size=16).hexdigest()
            args += (name, digest, text)
        if args:
            await self._engine.run(REGISTER, self._keys(), now, *args, budget_s=budget_s)

    async def types(self, budget_s: float = DEFAULT_BUDGET_S) -> dict[str, tuple[str, ...]]:
        """Digests of the live schemas of every known job type."""
        flat = await self._call("HGETALL", self._engine.names.types(), budget_s=budget_s)
        seen: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for field, at in zip(flat[::2], flat[1::2], strict=True):
            name, _, digest = field.decode().rpartition(" ")
            seen[name][digest] = int(at)
        live_after = time.time() * 1000 - LIVE_FOR_S * 1000
        return {
            name: tuple(
                digest
                for digest, at in versions.items()
                if at >= min(live_after, max(versions.values()))
            )
            for name, versions in seen.items()
        }

    async def schema(
        self, digest: str, budget_s: float = DEFAULT_BUDGET_S
    ) -> dict[str, Any] | None:
        """The schema of a digest that `types` gave; None if it was forgotten since."""
        text = await self._call("HGET", self._engine.names.schemas(), digest, budget_s=budget_s)
        schema: dict[str, Any] | None = json.loads(text) if text else None
        return schema

    async def prune_schemas(self, after_s: float, budget_s: float = DEFAULT_BUDGET_S) -> int:
        """Forgets versions that were not registered for so many seconds; returns how many.

        The newest version of each type stays. No version that it forgets is live, provided that
        after_s is longer than `LIVE_FOR_S`.
        """
        before_ms = int((time.time() - after_s) * 1000)
        forgotten: int = await self._engine.run(
            PRUNE_SCHEMAS, self._keys(), before_ms, budget_s=budget_s
        )
        return forgotten

    def _keys(self) -> list[bytes]:
        return [self._engine.names.types(), self._engine.names.schemas()]

    async def heartbeat(self, worker: WorkerInfo, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Says that a worker process is alive, and what it does."""
        names = self._engine.names
        await asyncio.gather(
            self._call(
                "SET",
                names.worker(worker.worker_id),
                json.dumps(asdict(worker)),
                "EX",
                WORKER_TTL_S,
                budget_s=budget_s,
            ),
            self._call(
                "ZADD", names.workers(), worker.heartbeat_ms, worker.worker_id, budget_s=budget_s
            ),
            # Workers that died while nobody asked for the list.
            self._call(
                "ZREMRANGEBYSCORE",
                names.workers(),
                "-inf",
                worker.heartbeat_ms - FORGOTTEN_AFTER_MS,
                budget_s=budget_s,
            ),
        )

    async def forget_worker(self, worker_id: str, budget_s: float = DEFAULT_BUDGET_S) -> None:
        """Takes a worker that has stopped off the list."""
        names = self._engine.names
        await self._call("ZREM", names.workers(), worker_id, budget_s=budget_s)
        await self._call("DEL", names.worker(worker_id), budget_s=budget_s)

    async def workers(
        self, queue: str = "", budget_s: float = DEFAULT_BUDGET_S
    ) -> list[WorkerInfo]:
        """Workers seen in the last minute, by id; of one queue, if it is given."""
        names = self._engine.names
        members = await self._call("ZRANGE", names.workers(), 0, -1, budget_s=budget_s)
        if not members:
            return []
        ids = sorted(member.decode() for member in members)
        texts = await self._call(
            "MGET", *(names.worker(worker_id) for worker_id in ids), budget_s=budget_s
        )
        gone = [worker_id for worker_id, text in zip(ids, texts, strict=True) if text is None]
        if gone:
            await self._call("ZREM", names.workers(), *gone, budget_s=budget_s)
        found = [_worker(json.loads(text)) for text in texts if text is not None]
        return [worker for worker in found if not queue or queue in worker.queues]

    @property
    def trouble(self) -> Unavailable | None:
        """Why nothing that is registered can be read now; None while it can."""
        return self._engine.link.trouble

    async def _call(self, command: str, *args: Arg, budget_s: float) -> Any:  # noqa: ANN401
        link = self._engine.link
        return await with_retry(lambda: link.call(command, *args), link=link, budget_s=budget_s)


def _worker(fields: dict[str, Any]) -> WorkerInfo:
    return WorkerInfo(
        **{**fields, "queues": tuple(fields["queues"]), "types": tuple(fields["types"])}
    )
