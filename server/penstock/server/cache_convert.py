"""Between the contract and the broker: the cache of results. As `convert`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.broker import CachePolicy, CacheTarget, caller_key, payload_key
from penstock.server.convert import content_of, durability_out
from penstock.server.payloads import is_json
from penstock.server.validation import duration_ms
from penstock.v1 import cache_service_pb2 as pb

if TYPE_CHECKING:
    from penstock.broker import Content, Durability
    from penstock.v1 import job_pb2


def policy(options: job_pb2.JobOptions) -> CachePolicy:
    """The cache policy of validated options that have one."""
    wanted = options.cache
    default = CachePolicy(0, "").hit_retention_ms
    return CachePolicy(
        duration_ms(wanted.ttl),
        caller_key(wanted.key) if wanted.key else "",
        tuple(dict.fromkeys(wanted.tags)),
        reads=not wanted.skip_cache,
        writes=not wanted.do_not_cache,
        hit_retention_ms=duration_ms(options.retention)
        if options.HasField("retention")
        else default,
    )


def work_of(payload: Content) -> str:
    """The key in the cache of work that has no other name than its payload."""
    return payload_key(payload, is_json=is_json(payload.content_type))


def targets(request: pb.InvalidateCacheRequest) -> list[CacheTarget]:
    """What a validated request invalidates."""
    return [_target(target) for target in request.targets]


def _target(target: pb.CacheTarget) -> CacheTarget:
    match target.WhichOneof("target"):
        case "tag":
            return CacheTarget(tag=target.tag)
        case "type":
            return CacheTarget(target.type)
    entry = target.entry
    if entry.WhichOneof("work") == "key":
        return CacheTarget(entry.type, caller_key(entry.key))
    return CacheTarget(entry.type, work_of(content_of(entry.payload)))


def invalidated(durability: Durability) -> pb.InvalidateCacheResponse:
    """The acknowledgement of an invalidation."""
    return pb.InvalidateCacheResponse(durability=durability_out(durability))
