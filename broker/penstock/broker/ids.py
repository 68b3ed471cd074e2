"""Ids and codes: how a job id is derived, and how it leads back to its slot.

A job id is 36 characters of Crockford's base 32 (digits and lower-case letters without ilou)::

    2 partition | 8 queue code | 26 tail (128 bits of namespace, queue and request id)

Everything is derived, so that every repetition of a submit, at any layer, yields the same job; any
gateway finds the slot without a look-up; and ids leak no names.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
MAX_PARTITIONS = 32**2
PARTITION_LENGTH = 2
CODE_LENGTH = 8
TAIL_LENGTH = 26
JOB_ID_LENGTH = PARTITION_LENGTH + CODE_LENGTH + TAIL_LENGTH
_JOB_ID = re.compile(f"[{ALPHABET}]{{{JOB_ID_LENGTH}}}")


def encode(number: int, length: int) -> str:
    """A non-negative number in base 32, padded to length characters."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 32)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _hash(size: int, *parts: str) -> int:
    # Each part is preceded by its length, so that no two lists of parts hash the same bytes.
    hashed = blake2b(digest_size=size)
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        hashed.update(len(data).to_bytes(4, "big"))
        hashed.update(data)
    return int.from_bytes(hashed.digest(), "big")


@lru_cache(maxsize=4096)
def namespace_code(namespace: str) -> str:
    """The 8 characters that stand for a namespace in keys."""
    return encode(_hash(5, "namespace", namespace), CODE_LENGTH)


@lru_cache(maxsize=65536)
def queue_code(namespace: str, queue: str) -> str:
    """The 8 characters that stand for a queue in keys and job ids."""
    return encode(_hash(5, "queue", namespace, queue), CODE_LENGTH)


def job_tail(namespace: str, queue: str, request_id: str) -> str:
    """The 26 characters of a job id that name the job within its queue."""
    return encode(_hash(16, "job", namespace, queue, request_id), TAIL_LENGTH)


def partition_of(routing_key: str, partitions: int) -> int:
    """Partition (0-based) that a routing key belongs to."""
    return _hash(8, "partition", routing_key) % partitions if partitions > 1 else 0


def key_digest(key: str) -> str:
    """The 26 characters that stand for a caller's idempotency key in Redis keys."""
    return encode(_hash(16, "key", key), TAIL_LENGTH)


def cache_digest(job_type: str, key: str) -> str:
    """The 26 characters that stand for one piece of work in Redis keys of the cache."""
    return encode(_hash(16, "cache", job_type, key), TAIL_LENGTH)


def bucket_of(buckets: int, *names: str) -> int:
    """Which of so many buckets a list of names falls into."""
    return _hash(8, "bucket", *names) % buckets


def digest_of_texts(texts: Iterable[str]) -> str:
    """The 26 characters that stand for a list of texts."""
    return encode(_hash(16, "texts", *texts), TAIL_LENGTH)


def schedule_tail(namespace: str, schedule_id: str) -> str:
    """The 26 characters that stand for a schedule in Redis keys."""
    return encode(_hash(16, "schedule", namespace, schedule_id), TAIL_LENGTH)


def join(partition: int, code: str, tail: str) -> str:
    """A job id from its parts."""
    return encode(partition, PARTITION_LENGTH) + code + tail


def split(job_id: str) -> tuple[int, str, str] | None:
    """Partition, queue code and tail of a job id; None if it is malformed."""
    if not _JOB_ID.fullmatch(job_id):
        return None
    partition = ALPHABET.index(job_id[0]) * 32 + ALPHABET.index(job_id[1])
    code_end = PARTITION_LENGTH + CODE_LENGTH
    return partition, job_id[PARTITION_LENGTH:code_end], job_id[code_end:]
