"""What cached results go by: keys of work, and the generations that invalidations raise.

A result is given to a submit only if nothing that it goes by was invalidated since its own submit:
its job type, its key, its tags. Tags cross slots, and no script does; so each of these names falls
into a bucket that has a generation, in the namespace's slot. A submit reads its generations there,
and an entry of the cache remembers those that it was submitted under.

Buckets keep this bounded: names that share one are invalidated together, which costs a run, and
never gives out what is old.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from penstock.broker import ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.broker.job import Content
    from penstock.broker.new_job import CachePolicy

__all__ = ["CacheTarget", "caller_key", "payload_key"]

#: Of types, of keys and of tags each.
BUCKETS: Final = 65_536

#: Stands before a number, which is kept as it is written. JSON that can be read holds no half of a
#: surrogate pair, so that no text is taken for a number.
_NUMBER: Final = "\ud800".__add__


def caller_key(key: str) -> str:
    """The key of work that a caller named."""
    return f"={key}"


def payload_key(payload: Content, *, is_json: bool) -> str:
    """The key of work that nobody named: what its payload says.

    JSON says the same whatever the order of its keys and the space between its tokens; its numbers
    count as they are written, since a handler may tell 1 from 1.0. Any other payload is its bytes
    and its media type.
    """
    if is_json:
        return f"#{_digest(_canonical(payload.data))}"
    return f"#{_digest(payload.content_type.encode())}{_digest(payload.data)}"


@dataclass(frozen=True, slots=True)
class CacheTarget:
    """Results to invalidate: those of a type, those of one piece of work in it, or those of a tag.

    Attributes:
        type: job type; '' where a tag is meant.
        key: of the work, made by `caller_key` or `payload_key`; '' is all of the type.
        tag: '' where a type is meant.
    """

    type: str = ""
    key: str = ""
    tag: str = ""

    @property
    def field(self) -> str:
        """The bucket that it falls into: a field of the generations."""
        if self.tag:
            return f"g{ids.bucket_of(BUCKETS, self.tag)}"
        if self.key:
            return f"k{ids.bucket_of(BUCKETS, self.type, self.key)}"
        return f"t{ids.bucket_of(BUCKETS, self.type)}"


def fields_for(job_type: str, policy: CachePolicy) -> list[str]:
    """The generations that a submit goes by, in an order that depends on nothing else."""
    targets = [CacheTarget(job_type), CacheTarget(job_type, policy.key)]
    targets += [CacheTarget(tag=tag) for tag in sorted(policy.tags)]
    return [target.field for target in targets]


def packed(
    job_type: str, policy: CachePolicy, generations: Mapping[str, str], *, tell_result: bool = False
) -> str:
    """The policy as `submit_cached.lua` takes it (see `lib/cache.lua`)."""
    fields = fields_for(job_type, policy)
    seen = ids.digest_of_texts(f"{field} {generations[field]}" for field in fields)
    digest = ids.cache_digest(job_type, policy.key)
    what = "r" * policy.reads + "w" * policy.writes + "t" * tell_result
    return f"{digest} {seen} {policy.ttl_ms} {policy.hit_retention_ms} {what}"


def fields_for_all(submits: Iterable[tuple[str, CachePolicy]]) -> list[str]:
    """The generations that several submits go by, each once."""
    return sorted({field for job_type, policy in submits for field in fields_for(job_type, policy)})


def _canonical(data: bytes) -> bytes:
    try:
        value = json.loads(data.decode(), parse_float=_NUMBER, parse_int=_NUMBER)
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return data  # Nothing that would be stored: it is refused as what it is, elsewhere.


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()
