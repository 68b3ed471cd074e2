"""Every Redis key of Penstock: one function each, with its type and a sentence.

Two classes of slot, by the hash tag in braces:

* a queue partition, ``ps{namespace:queue:partition}``: all that belongs to its jobs;
* a namespace, ``ps{namespace}``: types, queues, workers, doorbells.

No script crosses slots. A script is given its slot as KEYS[1] (which is itself a key: the slot's
counters) and derives every other name from it; ``scripts/lib/slot.lua`` mirrors this file, and a
test holds the two together. Names and identifiers of callers never appear in keys, only codes and
digests of fixed length and alphabet.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from penstock.broker import ids

if TYPE_CHECKING:
    from penstock.broker.job import JobState, Priority

#: Raised by one with every incompatible change of what is stored. Checked at start.
DATA_FORMAT = 1


@dataclass(frozen=True)
class NamespaceKeys:
    """Keys of a namespace's slot."""

    namespace: str

    @cached_property
    def code(self) -> str:
        """Code that stands for the namespace."""
        return ids.namespace_code(self.namespace)

    @cached_property
    def base(self) -> bytes:
        """Hash: the namespace's name (codes may collide), and the data format."""
        return f"ps{{{self.code}}}".encode()

    def queues(self) -> bytes:
        """Hash: queue name -> 'code partitions created_ms'. Lives as long as the namespace."""
        return self.base + b":queues"

    def types(self) -> bytes:
        """Hash: 'type schema-digest' -> when a worker last registered it (ms)."""
        return self.base + b":types"

    def schemas(self) -> bytes:
        """Hash: schema digest -> JSON of the payload's schema."""
        return self.base + b":schemas"

    def subscriptions(self) -> bytes:
        """Hash: name of a subscription -> 'created_ms JSON'; '#', '#ended' (see lib/topics.lua)."""
        return self.base + b":subscriptions"

    def topics(self) -> bytes:
        """Hash: pattern of a topic rule -> 'created_ms JSON', and '#' -> version."""
        return self.base + b":topics"

    def generations(self) -> bytes:
        """Hash: bucket of names -> generation, raised by invalidations. At most 196,608 fields."""
        return self.base + b":generations"

    def workers(self) -> bytes:
        """Sorted set: worker id by its last heartbeat (ms)."""
        return self.base + b":workers"

    def worker(self, worker_id: str) -> bytes:
        """String with TTL: what a worker process last reported, as JSON."""
        return self.base + b":worker:" + worker_id.encode()

    def bell(self, worker_id: str) -> bytes:
        """List with TTL: hints for one worker process; it blocks here, and nowhere else."""
        return self.base + b":bell:" + worker_id.encode()

    def idle(self, code: str) -> bytes:
        """Sorted set with TTL: workers with free slots for a queue, by when they said so (ms)."""
        return self.base + b":idle:" + code.encode()

    def active(self) -> bytes:
        """Sorted set: 'queue-code:partition' to be kept in order, by when it was marked (ms)."""
        return self.base + b":active"

    def keepers(self) -> bytes:
        """Hash with TTL: id of each process that keeps house -> its beats, as a sign of life."""
        return self.base + b":keepers"

    def schedules(self) -> bytes:
        """Hash: schedule id -> 'claim queue', and '#' -> the last claim. Written first."""
        return self.base + b":schedules"

    def policies(self) -> bytes:
        """Hash: 'queue' or 'queue type' -> policy as JSON; '#file', '#version' (see policies)."""
        return self.base + b":policies"

    def walk(self) -> bytes:
        """String with TTL: present while a reconciler's walk is young."""
        return self.base + b":walk"

    def probe(self) -> bytes:
        """String with TTL: written to see whether the server takes writes."""
        return self.base + b":probe"


@dataclass(frozen=True)
class Slot:
    """One partition of one queue, and its keys."""

    namespace_code: str
    queue_code: str
    partition: int

    @cached_property
    def base(self) -> bytes:
        """Hash: the slot's counters. Given to every script as KEYS[1]."""
        return f"ps{{{self.namespace_code}:{self.queue_code}:{self.partition}}}".encode()

    def job_id(self, tail: str) -> str:
        """The job id of a tail in this slot."""
        return ids.join(self.partition, self.queue_code, tail)

    def record(self, tail: str) -> bytes:
        """Hash: the record of a job, the truth about it. TTL once the job is terminal."""
        return self.base + b":j:" + tail.encode()

    def payload(self, tail: str) -> bytes:
        """String: a payload too long for the record's compact encoding. TTL as the record's."""
        return self.base + b":p:" + tail.encode()

    def result(self, tail: str) -> bytes:
        """String with TTL: a result too long for the record's compact encoding."""
        return self.base + b":r:" + tail.encode()

    def checkpoint(self, tail: str) -> bytes:
        """String: what a handler saved for its next attempt. Removed at the job's end."""
        return self.base + b":k:" + tail.encode()

    def log(self, tail: str) -> bytes:
        """List: events of a job that has more to tell than its record. TTL as the record's."""
        return self.base + b":e:" + tail.encode()

    def stream(self, priority: Priority) -> bytes:
        """Stream with the group 'workers': the QUEUED jobs of one priority."""
        return self.base + b":s:" + priority.value.encode()

    def due(self) -> bytes:
        """Sorted set: the SCHEDULED jobs by the time at which they become QUEUED (ms)."""
        return self.base + b":due"

    def leases(self) -> bytes:
        """Sorted set: the RUNNING jobs by the tick of their last renewal."""
        return self.base + b":lease"

    def deadlines(self) -> bytes:
        """Sorted set: SCHEDULED and QUEUED jobs that have a deadline, by it (ms)."""
        return self.base + b":dl"

    def ended(self, state: JobState) -> bytes:
        """Sorted set: the jobs in one terminal state by when they are forgotten (ms)."""
        return self.base + b":z:" + state.value.encode()

    def idempotency(self, digest: str) -> bytes:
        """String with TTL: 'tail digest' of the job that an idempotency key stands for."""
        return self.base + b":i:" + digest.encode()

    def cache(self, digest: str) -> bytes:
        """String with TTL: 'tail generations' of the job whose result equal submits are given."""
        return self.base + b":c:" + digest.encode()

    def finished(self, bucket: int) -> bytes:
        """String with TTL: how many jobs ended in one bucket of 10 s."""
        return self.base + b":t:" + str(bucket).encode()

    def schedule(self, tail: str) -> bytes:
        """Hash: a schedule of this queue, with what its jobs are made from."""
        return self.base + b":y:" + tail.encode()

    def schedules(self) -> bytes:
        """Sorted set: the schedules that wait for an occurrence, by when to look at them (ms)."""
        return self.base + b":sched"

    def buried(self, tail: str) -> bytes:
        """String with TTL: the last claim on a schedule that was deleted; older ones are void."""
        return self.base + b":b:" + tail.encode()

    def limits(self) -> bytes:
        """Hash: the slot's share of what its queue's policies limit (see lib/limits.lua)."""
        return self.base + b":limits"

    def gate(self, digest: str) -> bytes:
        """Set: the RUNNING jobs of a type that may not have more than so many, by its digest."""
        return self.base + b":gate:" + digest.encode()

    def parked(self, digest: str) -> bytes:
        """Sorted set: the QUEUED jobs of a type whose gate was full, by priority and age."""
        return self.base + b":park:" + digest.encode()

    def held(self) -> bytes:
        """Sorted set: all jobs that are parked, whatever their type, by priority and age."""
        return self.base + b":held"

    def kept(self, digest: str, state: JobState) -> bytes:
        """Sorted set: ended jobs of a type that keeps only so many, as they are in `ended`."""
        return self.base + b":kept:" + digest.encode() + b":" + state.value.encode()

    def paused(self) -> bytes:
        """String: present while nothing is granted."""
        return self.base + b":paused"

    def channel(self, tail: str) -> bytes:
        """Sharded pub/sub channel: the newest sequence of a job, as a wake-up for watchers."""
        return self.base + b":w:" + tail.encode()
