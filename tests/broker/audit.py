"""An audit of all that is stored: what keys there are, and whether they agree with each other.

It knows the data from `keys.py` and `record.py`, not from the scripts, and reads it with plain
commands. Run after every test of the broker, and after every step of the model test.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeVar

from penstock.broker import DEFAULTS, TERMINAL, TRANSITIONS, Gap, JobState, StateChange, ids
from penstock.broker.reconciler import WEIGH
from penstock.broker.record import fields_of
from tests.broker.rig import pairs, states_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.broker import Broker, Event
    from penstock.broker.keys import Slot
    from penstock.broker.record import Fields

__all__ = ["KEYS", "audit", "stray_keys"]

#: Questions that are under way at once; there may be a million.
_AT_ONCE: Final = 500
_Item = TypeVar("_Item")

NEVER, ALWAYS, ENDED = "never", "always", "once the job has ended"

#: The stated list: every pattern of a key, its type, and when it has a TTL.
KEYS: Final[dict[str, tuple[str, str]]] = {
    r"ps\{N\}": ("hash", NEVER),
    r"ps\{N\}:queues": ("hash", NEVER),
    r"ps\{N\}:types": ("hash", NEVER),
    r"ps\{N\}:schemas": ("hash", NEVER),
    r"ps\{N\}:subscriptions": ("hash", NEVER),
    r"ps\{N\}:topics": ("hash", NEVER),
    r"ps\{N\}:generations": ("hash", NEVER),
    r"ps\{N\}:workers": ("zset", NEVER),
    r"ps\{N\}:worker:.+": ("string", ALWAYS),
    r"ps\{N\}:bell:.+": ("list", ALWAYS),
    r"ps\{N\}:idle:C": ("zset", ALWAYS),
    r"ps\{N\}:active": ("zset", NEVER),
    r"ps\{N\}:keepers": ("hash", ALWAYS),
    r"ps\{N\}:schedules": ("hash", NEVER),
    r"ps\{N\}:policies": ("hash", NEVER),
    r"ps\{N\}:walk": ("string", ALWAYS),
    r"ps\{N\}:probe": ("string", ALWAYS),
    r"ps\{N:C:P\}": ("hash", NEVER),
    r"ps\{N:C:P\}:j:T": ("hash", ENDED),
    r"ps\{N:C:P\}:p:T": ("string", ENDED),
    r"ps\{N:C:P\}:r:T": ("string", ALWAYS),
    r"ps\{N:C:P\}:k:T": ("string", NEVER),
    r"ps\{N:C:P\}:e:T": ("list", ENDED),
    r"ps\{N:C:P\}:s:[hdl]": ("stream", NEVER),
    r"ps\{N:C:P\}:due": ("zset", NEVER),
    r"ps\{N:C:P\}:lease": ("zset", NEVER),
    r"ps\{N:C:P\}:dl": ("zset", NEVER),
    r"ps\{N:C:P\}:z:[DFCE]": ("zset", NEVER),
    r"ps\{N:C:P\}:i:T": ("string", ALWAYS),
    r"ps\{N:C:P\}:c:T": ("string", ALWAYS),
    r"ps\{N:C:P\}:t:\d+": ("string", ALWAYS),
    r"ps\{N:C:P\}:y:T": ("hash", NEVER),
    r"ps\{N:C:P\}:sched": ("zset", NEVER),
    r"ps\{N:C:P\}:b:T": ("string", ALWAYS),
    r"ps\{N:C:P\}:limits": ("hash", NEVER),
    r"ps\{N:C:P\}:gate:T": ("set", NEVER),
    r"ps\{N:C:P\}:park:T": ("zset", NEVER),
    r"ps\{N:C:P\}:held": ("zset", NEVER),
    r"ps\{N:C:P\}:kept:T:[DFCE]": ("zset", NEVER),
    r"ps\{N:C:P\}:paused": ("string", NEVER),
}

_CODE = f"[{ids.ALPHABET}]{{{ids.CODE_LENGTH}}}"
_TAIL = f"[{ids.ALPHABET}]{{{ids.TAIL_LENGTH}}}"


def _compiled(pattern: str) -> re.Pattern[str]:
    meanings = {"N": _CODE, "C": _CODE, "P": r"\d+", "T": _TAIL}
    return re.compile(re.sub(r"\b[NCPT]\b", lambda letter: meanings[letter[0]], pattern))


_PATTERNS = [(_compiled(pattern), *rule) for pattern, rule in KEYS.items()]


async def stray_keys(broker: Broker) -> list[str]:
    """Keys that are not in the stated list, have another type, or a TTL where none may be."""
    call = broker.link.call
    keys = sorted(await call("KEYS", "*"))
    types: list[bytes] = []
    ttls_ms: list[int] = []
    for together in _goes(keys):
        types += await asyncio.gather(*(call("TYPE", key) for key in together))
        ttls_ms += await asyncio.gather(*(call("PTTL", key) for key in together))
    ended = {
        key.rpartition(b":")[2]
        for key, ttl_ms in zip(keys, ttls_ms, strict=True)
        if b":j:" in key and ttl_ms >= 0
    }
    faults = []
    for key, kind, ttl_ms in zip(keys, types, ttls_ms, strict=True):
        if ttl_ms == -2:  # Gone since it was listed.
            continue
        rule = _rule_of(key.decode())
        if rule is None:
            faults.append(f"{key!r} is not a key of ours")
        elif kind.decode() != rule[0]:
            faults.append(f"{key!r} is a {kind.decode()}, not a {rule[0]}")
        elif (ttl_ms >= 0) != (
            rule[1] == ALWAYS or (rule[1] == ENDED and key.rpartition(b":")[2] in ended)
        ):
            faults.append(f"{key!r} has a TTL of {ttl_ms} ms; it has one {rule[1]}")
    return faults


def _rule_of(key: str) -> tuple[str, str] | None:
    for pattern, kind, ttl in _PATTERNS:
        if pattern.fullmatch(key):
            return kind, ttl
    return None


async def audit(broker: Broker) -> list[str]:
    """What is wrong with the stored jobs; [] if nothing is."""
    faults = await stray_keys(broker)
    for queue in await broker.engine.queues():
        for slot in broker.engine.slots(queue):
            faults += await _SlotAudit(broker, slot).run()
    return faults


def _goes(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """So many at a time as may be asked for at once."""
    return (items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE))


@dataclass
class _SlotAudit:
    """Holds the records of one slot against its structures, and collects what disagrees."""

    broker: Broker
    slot: Slot
    faults: list[str] = field(default_factory=list)
    places: defaultdict[str, list[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By tail: (structure, position) of every place where the job is found."""

    async def run(self) -> list[str]:
        keys: list[bytes] = await self._call("KEYS", self.slot.base[:-1] + b"}:j:*")
        tails = [key.decode().rpartition(":")[2] for key in keys]
        replies: list[Any] = []
        for together in _goes(keys):
            replies += await asyncio.gather(*(self._call("HGETALL", key) for key in together))
        records = {tail: fields_of(flat) for tail, flat in zip(tails, replies, strict=True) if flat}
        await self._find_places(records)
        await self._check_deadlines(records)
        await self._check_limits(records)
        await self._check_cache(records)
        await self._check_books()
        for some in _goes(list(records.items())):
            await asyncio.gather(*(self._check_record(*each) for each in some))
        await self._check_schedules()
        return self.faults

    async def _check_record(self, tail: str, record: Fields) -> None:
        self._check_place(tail, record)
        self._check_counts(tail, record)
        await self._check_satellites(tail, record)
        await self._check_events(tail, record)

    async def _find_places(self, records: dict[str, Fields]) -> None:
        base, now_ms = self.slot.base, time.time() * 1000
        for priority in "hdl":
            stream = base + b":s:" + priority.encode()
            for entry, (_, tail) in await self._call("XRANGE", stream, "-", "+"):
                self.places[tail.decode()].append((priority, entry.decode()))
        for name in ("due", "lease", "held", *(f"z:{state.value}" for state in sorted(TERMINAL))):
            members = pairs(
                await self._call("ZRANGE", base + b":" + name.encode(), 0, -1, "WITHSCORES")
            )
            for tail, score in members.items():
                # An entry whose retention is over may outlive its job, until it is pruned; by then
                # the job may even have been submitted anew.
                if not (name.startswith("z:") and float(score) <= now_ms):
                    self.places[tail.decode()].append((name, score.decode()))
        for tail in self.places.keys() - records.keys():
            self._fault(tail, f"no record, but found in {self.places[tail]}")

    async def _check_deadlines(self, records: dict[str, Fields]) -> None:
        found = pairs(await self._call("ZRANGE", self.slot.deadlines(), 0, -1, "WITHSCORES"))
        expected = {
            tail.encode(): record[b"dl"]
            for tail, record in records.items()
            if b"dl" in record and record[b"s"] in {b"S", b"Q"}
        }
        if found != expected:
            self.faults.append(f"deadlines are {found}, expected {expected}")

    async def _check_books(self) -> None:
        """Whoever keeps house would find that nothing is missing."""
        missing, _ = await self.broker.engine.run(WEIGH, [self.slot.base], "")
        settled = int(await self._call("HGET", self.slot.base, "adrift") or 0)
        if missing != settled:
            self.faults.append(f"{self.slot.base!r} misses {missing} jobs, and gave up {settled}")

    async def _check_cache(self, records: dict[str, Fields]) -> None:
        for key in await self._call("KEYS", self.slot.cache("*")):
            digest, entry = key.rpartition(b":")[2], await self._call("GET", key)
            record = records.get(entry.decode().partition(" ")[0], {})
            held, _, ttl_ms = record.get(b"ca", b"").partition(b" ")
            if held != digest or b"e" not in record:
                continue  # A job that is gone, or under way: it stands for nothing, or has time.
            left_ms = await self._call("PTTL", key)
            if record[b"s"] != b"D" or left_ms > int(ttl_ms):
                self.faults.append(f"{key!r} stands for {record} for another {left_ms} ms")

    async def _check_schedules(self) -> None:
        """Those that wait for an occurrence, and no others, stand in the set."""
        keys = await self._call("KEYS", self.slot.base[:-1] + b"}:y:*")
        waiting = {
            key.rpartition(b":")[2] for key in keys if await self._call("HEXISTS", key, "nx")
        }
        standing = set(await self._call("ZRANGE", self.slot.schedules(), 0, -1))
        if waiting != standing:
            self.faults.append(f"schedules {standing} stand in the set, {waiting} wait")

    async def _check_limits(self, records: dict[str, Fields]) -> None:
        """Gates hold who runs under a limit, and the parked are those who are held."""
        await self._check_members(records, "gate", b"gt", b"R")
        await self._check_members(records, "park", b"hd", b"Q")

    async def _check_members(
        self, records: dict[str, Fields], name: str, field: bytes, state: bytes
    ) -> None:
        """The sets of one name, by digest, hold just those whose records say so by a field."""
        expected: defaultdict[str, set[bytes]] = defaultdict(set)
        for tail, record in records.items():
            if field in record:
                expected[record[field].decode()].add(tail.encode())
                if record[b"s"] != state:
                    self._fault(tail, f"{record[b's']!r}, with the field {field!r}")
        base = self.slot.base + f":{name}:".encode()
        keys: list[bytes] = await self._call("KEYS", base + b"*")
        for digest in {*expected, *(key.decode().rpartition(":")[2] for key in keys)}:
            key = base + digest.encode()
            members = ("SMEMBERS", key) if name == "gate" else ("ZRANGE", key, 0, -1)
            found = set(await self._call(*members))
            if found != expected[digest]:
                self.faults.append(f"{key!r} holds {found}, expected {expected[digest]}")

    def _check_place(self, tail: str, record: Fields) -> None:
        state = JobState(record[b"s"].decode())
        place: tuple[bytes, bytes | None]
        if state is JobState.QUEUED:
            place = (b"held", None) if b"hd" in record else (record.get(b"pr", b"d"), record[b"x"])
        elif state is JobState.SCHEDULED:
            place = (b"due", record[b"du"])
        elif state is JobState.RUNNING:
            place = (b"lease", None)
        else:
            retention_ms = int(record.get(b"rt", DEFAULTS.retention_ms))
            if state is JobState.SUCCEEDED:
                retention_ms = int(record.get(b"rs", retention_ms))
            place = (b"z:" + record[b"s"], b"%d" % (int(record[b"e"]) + retention_ms))
        found = self.places[tail]
        name, position = place[0].decode(), None if place[1] is None else place[1].decode()
        if [found_name for found_name, _ in found] != [name]:
            self._fault(tail, f"{state.name}, but found in {found}")
        elif position is not None and found[0][1] != position:
            self._fault(tail, f"stands at {found[0]}, its record says {position}")

    def _check_counts(self, tail: str, record: Fields) -> None:
        attempts, crashes, token = (int(record.get(name, 0)) for name in (b"a", b"k", b"f"))
        if not 0 <= crashes <= attempts <= token:
            self._fault(tail, f"{crashes} crashes, {attempts} attempts, token {token}")
        if (b"e" in record) != (record[b"s"] in {b"D", b"F", b"C", b"E"}):
            self._fault(tail, "has an end in the wrong state")

    async def _check_satellites(self, tail: str, record: Fields) -> None:
        ended, slot = b"e" in record, self.slot
        expected = {
            slot.payload(tail): b"pl" in record,
            slot.result(tail): b"rl" in record,
            slot.checkpoint(tail): b"ck" in record and not ended,
            slot.log(tail): b"lt" in record,
        }
        for key, wanted in expected.items():
            if bool(await self._call("EXISTS", key)) != wanted:
                self._fault(tail, f"{key!r} {'is missing' if wanted else 'was left behind'}")
        lines = await self._call("LRANGE", slot.log(tail), 0, -1)
        counted = int(record.get(b"lt", 0)) + len(lines), int(record.get(b"lb", 0))
        if lines and counted != (int(record[b"n"]), sum(map(len, lines))):
            self._fault(tail, f"its log is miscounted: {counted}")
        keys = [slot.record(tail), *(key for key, wanted in expected.items() if wanted and ended)]
        # As a time, which does not change while one asks.
        end_ms = await asyncio.gather(*(self._call("PEXPIRETIME", key) for key in keys))
        if ended and max(end_ms) - min(end_ms) > 50:
            self._fault(tail, f"its keys do not end together: {end_ms}")

    async def _check_events(self, tail: str, record: Fields) -> None:
        events: list[Event] = []
        job_id = self.slot.job_id(tail)
        newest = int(record[b"n"])
        while not events or events[-1].last_sequence < newest:
            after = events[-1].last_sequence if events else 0
            page = await self.broker.jobs.events(job_id, after)
            if not page.events:
                break
            events += page.events
        lasts = [0, *(event.last_sequence for event in events)]
        if [event.first_sequence - 1 for event in events] != lasts[:-1] or lasts[-1] != newest:
            self._fault(tail, f"{newest} events do not tile: {events}")
        if any(isinstance(event.body, Gap) for event in events):
            return
        states = states_of(events)
        if states[-1].value.encode() != record[b"s"]:
            self._fault(tail, f"{record[b's']!r}, but its events say {states}")
        first = {JobState.SCHEDULED, JobState.QUEUED}
        if b"cf" in record:
            first = {JobState.SUCCEEDED}
        if states[0] not in first or any(arrow not in TRANSITIONS for arrow in pairwise(states)):
            self._fault(tail, f"its events tell of arrows that are none: {states}")
        if b"e" in record and not isinstance(events[-1].body, StateChange):
            self._fault(tail, f"its end is not its last event: {events[-1]}")

    def _fault(self, tail: str, text: str) -> None:
        self.faults.append(f"{tail}: {text}")

    async def _call(self, *args: str | bytes | int) -> Any:  # noqa: ANN401 - by command.
        return await self.broker.link.call(*args)
