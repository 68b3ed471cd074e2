"""CacheService: convert, call the broker, convert. No decision is taken here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.server import cache_convert, requests
from penstock.server.breath import Breath

if TYPE_CHECKING:
    from penstock.broker import Broker, CacheTarget
    from penstock.server.calls import Call
    from penstock.v1 import cache_service_pb2 as pb

__all__ = ["CacheService"]


class CacheService:
    """The methods of penstock.v1.CacheService; see the contract for what each promises."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    # ruff: noqa: N802 - the methods have the names of the contract.

    async def InvalidateCache(
        self, request: pb.InvalidateCacheRequest, call: Call
    ) -> pb.InvalidateCacheResponse:
        """Forgets results."""
        targets = await Breath().take(request.ByteSize(), _targets_of, request)
        await self._broker.cache.invalidate(targets, call.budget_s)
        return cache_convert.invalidated(self._broker.durability)


def _targets_of(request: pb.InvalidateCacheRequest) -> list[CacheTarget]:
    requests.refuse_bad_invalidation(request)
    return cache_convert.targets(request)
