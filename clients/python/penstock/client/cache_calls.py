"""What those who write ask of a gateway, so that nobody reads what was true before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.client.cache_policy import tags_of
from penstock.client.content import encode
from penstock.client.errors import InvalidRequest, Status, Violation
from penstock.v1 import cache_service_pb2 as pb
from penstock.v1 import job_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.client.rpc import Rpc


class AsyncCacheCalls:
    """The part of `AsyncClient` that is about the result cache."""

    _rpc: Rpc

    async def invalidate(
        self,
        type: str = "",
        payload: object = ...,
        *,
        key: str = "",
        tags: Iterable[str] = (),
        content_type: str | None = None,
        rpc_timeout: float | None = None,
    ) -> None:
        """Forgets cached results: of a type, of one piece of work in it, of tags.

        Once it returns, no submit that is sent later is answered with a job that was submitted
        before, cached or under way. What is given together is forgotten together, in one step.
        Repeating it is safe.

        Args:
            type: all results of this job type; with payload or key, only those of that work.
            payload: of the work, as it is submitted; not given is any.
            key: of the work, as in its `CachePolicy`.
            tags: all results with one of these tags, of whatever type.
            content_type: of a payload of bytes; None is application/octet-stream.
            rpc_timeout: for all tries together, in seconds; None is the client's own.

        Raises:
            InvalidRequest: nothing is given, or a name breaks a rule.
            Unavailable: no gateway, or none that can store it now. What is cached may still be
                given out then.
        """
        targets = [pb.CacheTarget(tag=tag) for tag in tags_of(tags)]
        if type:
            targets.append(_target_of(type, payload, key, content_type))
        elif key or payload is not ...:
            violation = Violation("type", "it must be given: it is the type of the work")
            raise InvalidRequest(
                Status("INVALID_ARGUMENT", str(violation), violations=(violation,))
            )
        request = pb.InvalidateCacheRequest(targets=targets)
        await self._rpc.call(self._rpc.stubs.cache.InvalidateCache, request, rpc_timeout)


def _target_of(type: str, payload: object, key: str, content_type: str | None) -> pb.CacheTarget:
    if payload is not ... and key:
        violation = Violation("key", "the payload is given, too; one of them names the work")
        raise InvalidRequest(Status("INVALID_ARGUMENT", str(violation), violations=(violation,)))
    if payload is not ...:
        content = encode(payload, content_type)
        sent = job_pb2.Content(data=content.data, content_type=content.content_type)
        return pb.CacheTarget(entry=pb.CacheEntry(type=type, payload=sent))
    if key:
        return pb.CacheTarget(entry=pb.CacheEntry(type=type, key=key))
    return pb.CacheTarget(type=type)
