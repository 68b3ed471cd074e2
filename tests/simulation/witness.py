"""Sees every command that the server executes, and what became of every record by it.

It knows nothing of the scripts' insides: it compares the records before and after, and holds the
difference against what this very command may do. The invariants have the numbers of the fault
harness's checker where they say the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import DEFAULTS, TRANSITIONS, JobState
from tests.chaos.result import Violation
from tests.simulation.occurrences import Occurrences

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.broker.pipeline import Arg, Reply
    from tests.simulation.clock import Clock
    from tests.simulation.wire import Command

__all__ = ["CACHED_MS", "ENDED", "IDLE", "PEEK", "Record", "Witness"]

Record = dict[str, bytes]

#: These change no record of a job, nor a lease.
IDLE: Final = frozenset(
    {
        "beat",
        "create_queue",
        "drop",
        "drop_topic",
        "due_schedules",
        "enlist",
        "enrol",
        "events",
        "idle",
        "invalidate",
        "list",
        "look",
        "mark",
        "probe",
        "prune_schemas",
        "put_policy",
        "put_topic",
        "read",
        "read_schedule",
        "register",
        "ring",
        "stats",
        "strike",
        "topics",
    }
)
#: Writes by a worker; ARGV begins with id and token.
FENCED: Final = frozenset({"complete", "fail", "release", "progress", "checkpoint"})
#: Scripts that may take each arrow.
BY_ARROW: Final[dict[tuple[str, str], frozenset[str]]] = {
    ("", "Q"): frozenset({"submit", "submit_cached", "fire", "trigger"}),
    ("", "S"): frozenset({"submit"}),
    ("", "D"): frozenset({"submit_cached"}),
    ("S", "Q"): frozenset({"promote"}),
    ("S", "C"): frozenset({"cancel", "purge", "fire"}),
    ("S", "E"): frozenset({"expire"}),
    ("Q", "R"): frozenset({"claim"}),
    ("Q", "C"): frozenset({"cancel", "purge", "fire"}),
    ("Q", "E"): frozenset({"expire", "claim"}),
    ("R", "D"): frozenset({"complete"}),
    ("R", "F"): frozenset({"fail", "reclaim"}),
    ("R", "C"): frozenset({"fail", "release", "reclaim", "disown"}),
    ("R", "E"): frozenset({"fail", "release", "reclaim"}),
    ("R", "S"): frozenset({"fail", "release"}),
    ("R", "Q"): frozenset({"release", "reclaim", "disown"}),
}
ENDED: Final = frozenset("DFCE")
PEEK: Final = """#!lua flags=no-writes
local jobs, schedules = {}, {}
for _, key in ipairs(redis.call('KEYS', 'ps{*:[jy]:*')) do
  local base, kind, id = string.match(key, '^(.*):([jy]):([^:]+)$')
  if kind == 'j' then
    jobs[#jobs + 1] = {id, redis.call('HGETALL', key), redis.call('ZSCORE', base .. ':lease', id),
      redis.call('GET', base .. ':k:' .. id), redis.call('GET', base .. ':r:' .. id), base}
  else
    schedules[#schedules + 1] = {id, redis.call('HGETALL', key)}
  end
end
return {jobs, schedules}
"""
#: How old a result from the cache may be, where anybody takes one (ms).
CACHED_MS: Final = 60_000
#: What an observer of leases may be early by: none of it but rounding (s).
_EARLY_S: Final = 0.002


@dataclass
class _Seen:
    """A job as it stood after the last command."""

    record: Record
    lease: int | None
    checkpoint: bytes | None
    result: bytes | None
    slot: str


@dataclass
class Witness:
    """Watches one run.

    Attributes:
        clock: of the run.
        violations: what must not be, in the order in which it was seen.
        jobs: by tail, as they stand.
        gone: tails of jobs that were forgotten when their time had come.
        accepted: how jobs ended, by tail: script and token.
        moved_at_s: when a lease was last granted or renewed, by tail.
        granted_at_s: when a job was last granted, by tail.
        ended_at_s: when a job ended, by tail.
        checkpoints: what was saved last, by tail.
        limits: most RUNNING at once, by slot and job type ('' is of all).
        most_waiting: jobs that may wait in a slot when another is submitted; 0 is any number.
        occurrences: watches the schedules.
        tampered: foreign hands took what limits are counted by.
        handed_on: what a grant must bring with it, by tail and token.
        steps: commands that were executed.
        scripts: how often each was executed.
        account: the last commands.
        violated: set at the first violation.
    """

    clock: Clock
    on_change: Callable[[str, Record], None] = lambda _tail, _record: None
    violations: list[Violation] = field(default_factory=list)
    jobs: dict[str, _Seen] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    accepted: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    moved_at_s: dict[str, float] = field(default_factory=dict)
    granted_at_s: dict[str, float] = field(default_factory=dict)
    ended_at_s: dict[str, float] = field(default_factory=dict)
    checkpoints: dict[str, bytes] = field(default_factory=dict)
    handed_on: dict[tuple[str, int], bytes | None] = field(default_factory=dict)
    limits: dict[str, dict[str, int]] = field(default_factory=dict)
    most_waiting: int = 0
    tampered: bool = False
    steps: int = 0
    scripts: Counter[str] = field(default_factory=Counter)
    account: list[str] = field(default_factory=list)
    violated: asyncio.Event = field(default_factory=asyncio.Event)
    occurrences: Occurrences = field(init=False)

    def __post_init__(self) -> None:
        self.occurrences = Occurrences(self.clock, self.expect)

    def executed(self, command: Command, script: str, reply: Reply, peeked: Reply) -> None:
        """A command was executed."""
        self.steps += 1
        self.scripts[script or "command"] += 1
        if peeked is None:
            return
        args = [_text(arg) for arg in command.args[3 + int(str(_text(command.args[2]))) :]]
        self._note(command, script, args, reply)
        now, schedules = _seen(peeked[0]), _schedules(peeked[1])
        for tail in sorted(now.keys() | self.jobs.keys()):
            before, after = self.jobs.get(tail), now.get(tail)
            if before != after:
                self._changed(tail, before, after, script, args)
                self.on_change(tail, after.record if after else {})
        if script == "fire":
            known = reply[0] == b"fired" and args[4] in self.jobs
            self.occurrences.stepped(args, schedules, known=known)
        self._check_receipt(script, args, reply, now)
        self._check_depth(_text(command.args[3]), script, reply, now)
        self._check_limits(_text(command.args[3]), script, args, reply, now)
        self.jobs = now
        self.occurrences.refresh(schedules)

    def refresh(self, peeked: Reply) -> None:
        """Foreign hands were at work."""
        self.tampered = True
        self.jobs = _seen(peeked[0])
        self.occurrences.refresh(_schedules(peeked[1]))

    def expect(self, holds: object, invariant: str, text: str) -> None:
        """Notes a violation, unless it holds."""
        if not holds:
            self.violated.set()
            self.violations.append(Violation(invariant, text, tuple(self.account[-12:])))

    # Inside.

    def _note(self, command: Command, script: str, args: list[str], reply: Reply) -> None:
        shown = " ".join(arg[:30] for arg in args[:6])
        at_s = f"{self.clock.now_s:.3f} {command.by}"
        self.account.append(f"{at_s}: {script} {shown} -> {str(reply)[:120]}")
        del self.account[:-200]

    def _changed(
        self, tail: str, before: _Seen | None, after: _Seen | None, script: str, args: list[str]
    ) -> None:
        if after is None:
            assert before is not None
            self._forgotten(tail, before, script)
            return
        old = before.record if before else {}
        new = after.record
        was, is_ = _letter(old), _letter(new)
        if was in ENDED:
            self.expect(
                script in {"submit", "submit_cached"} or old == new,
                "I4",
                f"{tail}: its record changed after its end, by {script}: {_difference(old, new)}",
            )
            return
        if was != is_:
            self._moved(tail, (was, is_), script)
        if not was and "sc" in after.record and "rf" not in after.record:
            others = {other: seen.record for other, seen in self.jobs.items()}
            self.occurrences.made(tail, after.record, others)
        self._check_fence(tail, old, script, args, changed=before != after)
        self._check_counts(tail, old, new, script)
        self._check_lease(tail, before, after, script, args)
        self._check_times(tail, old, new, script)
        if script == "checkpoint" and args[0] == tail:
            self.checkpoints[tail] = args[2].encode("latin-1")
        if is_ == "R" and was != "R":
            self._granted(tail, after)
        if is_ in ENDED:
            self._ended(tail, old, after, script, args)

    def _moved(self, tail: str, arrow: tuple[str, str], script: str) -> None:
        allowed = BY_ARROW.get(arrow, frozenset())
        self.expect(script in allowed, "I7", f"{tail}: {arrow[0]} to {arrow[1]} by {script}")
        if arrow[0]:
            states = JobState(arrow[0]), JobState(arrow[1])
            self.expect(states in TRANSITIONS, "I7", f"{tail}: no such arrow: {states}")

    def _check_fence(
        self, tail: str, old: Record, script: str, args: list[str], *, changed: bool
    ) -> None:
        """Whoever writes holds the newest grant of a job that is RUNNING."""
        if script in FENCED and changed:
            holds = args[0] == tail and _letter(old) == "R" and args[1] == _field(old, "f")
            token = _field(old, "f")
            self.expect(
                holds, "I5", f"{tail}: {script} under token {args[1]}, the newest is {token}"
            )

    def _check_counts(self, tail: str, old: Record, new: Record, script: str) -> None:
        token, attempts, crashes = (_number(new, name) for name in "fak")
        was_token, was_attempts, was_crashes = (_number(old, name) for name in "fak")
        arrow = _letter(old), _letter(new)
        if arrow[1] == "R" and arrow[0] != "R":
            self.expect(token > was_token, "I6", f"{tail}: token {was_token}, then {token}")
            self.expect(
                attempts == was_attempts + 1, "I9", f"{tail}: a grant, and {attempts} attempts"
            )
        elif arrow[0] == "R" and arrow[1] != "R":
            taken = script in {"reclaim", "disown"}
            self.expect(
                token > was_token if taken else token == was_token,
                "I6",
                f"{tail}: {script} left token {was_token} at {token}",
            )
            handed_back = script == "disown" or (script == "release" and arrow[1] in "QS")
            # A grant that waits for its neighbours to be done, and had no part in the crash.
            has_waited = script == "reclaim" and old.get("sw") == old.get("f")
            free = has_waited or (handed_back and arrow[1] in "QS")
            self.expect(
                attempts == was_attempts - free,
                "I9",
                f"{tail}: {script} made {attempts} of {was_attempts} attempts",
            )
            self.expect(
                crashes == was_crashes + (script == "reclaim" and not has_waited),
                "I9",
                f"{tail}: {script} made {crashes} of {was_crashes} crashes",
            )
        else:
            self.expect(
                (token, attempts, crashes) == (was_token, was_attempts, was_crashes),
                "I6",
                f"{tail}: {script} changed token, attempts or crashes: {_difference(old, new)}",
            )
        most = _number(new, "m") or DEFAULTS.max_attempts
        self.expect(
            arrow != ("R", "S") or script != "fail" or attempts - crashes < most,
            "I9",
            f"{tail}: tried again after {attempts - crashes} failures of {most}",
        )
        grew = _number(new, "n") - _number(old, "n")
        self.expect(
            grew > 0 if arrow[0] != arrow[1] else grew >= 0, "I8", f"{tail}: no event of {arrow}"
        )

    def _check_lease(
        self, tail: str, before: _Seen | None, after: _Seen, script: str, args: list[str]
    ) -> None:
        was = before.lease if before else None
        old = before.record if before else {}
        if script == "renew" and after.lease != was:
            pairs = dict(zip(args[::2], args[1::2], strict=True))
            self.expect(
                pairs.get(tail) == _field(old, "f") and _letter(old) == "R",
                "I5",
                f"{tail}: renewed under token {pairs.get(tail)}, the newest is {_field(old, 'f')}",
            )
        if script == "disown" and _letter(old) == "R" and _letter(after.record) != "R":
            self.expect(tail not in args[1:], "lease", f"{tail}: disowned, though it is held")
        if script == "reclaim" and _letter(old) == "R" and _letter(after.record) != "R":
            stood_s = self.clock.now_s - self.moved_at_s.get(tail, 0.0)
            self.expect(
                stood_s + _EARLY_S >= _number(old, "l") / 1000,
                "lease",
                f"{tail}: taken back {stood_s:.3f} s after its renewal; its lease is "
                f"{_number(old, 'l')} ms",
            )
        if after.lease is not None and after.lease != was:
            self.moved_at_s[tail] = self.clock.now_s

    def _check_times(self, tail: str, old: Record, new: Record, script: str) -> None:
        """By the server's own date, whatever that is."""
        arrow, now_ms = (_letter(old), _letter(new)), self.clock.server_ms
        if arrow == ("S", "Q"):
            self.expect(
                _number(old, "du") <= now_ms, "due", f"{tail}: queued before its time, by {script}"
            )
        if arrow == ("Q", "R") and "dl" in new:
            self.expect(
                _number(new, "dl") > now_ms, "deadline", f"{tail}: granted after its deadline"
            )
        if arrow[1] == "E" and arrow[0] in "SQ":
            self.expect(
                "dl" in new and _number(new, "dl") <= now_ms,
                "deadline",
                f"{tail}: expired before its deadline, by {script}",
            )

    def _granted(self, tail: str, after: _Seen) -> None:
        self.expect(
            after.checkpoint == self.checkpoints.get(tail),
            "checkpoint",
            f"{tail}: has {after.checkpoint!r}, saved was {self.checkpoints.get(tail)!r}",
        )
        token = _number(after.record, "f")
        self.granted_at_s[tail] = self.clock.now_s
        self.handed_on[tail, token] = self.checkpoints.get(tail)

    def _ended(self, tail: str, old: Record, after: _Seen, script: str, args: list[str]) -> None:
        if _letter(old) not in ENDED:
            self.ended_at_s[tail] = self.clock.now_s
            token = args[1] if script in FENCED else ""
            self.accepted.setdefault(tail, []).append((script, token))
        if script == "complete":
            stored = after.record.get("r", after.result)
            self.expect(
                stored == args[3].encode("latin-1"), "I4", f"{tail}: its result is {stored!r}"
            )

    def _forgotten(self, tail: str, before: _Seen, script: str) -> None:
        record = before.record
        kept_ms = _number(record, "rt") or DEFAULTS.retention_ms
        if record.get("s") == b"D" and "rs" in record:
            kept_ms = _number(record, "rs")
        over = "e" in record and _number(record, "e") + kept_ms <= self.clock.server_ms
        self.expect(
            script == "prune" and over, "I1", f"{tail}: its record is gone, by {script}: {record}"
        )
        self.gone.add(tail)
        self.checkpoints.pop(tail, None)

    def _check_receipt(
        self, script: str, args: list[str], reply: Reply, now: dict[str, _Seen]
    ) -> None:
        if script not in {"submit", "submit_cached"} or not isinstance(reply, list):
            return
        outcome = reply[0]
        if outcome not in {b"created", b"cached"}:
            return
        seen = now.get(args[0])
        self.expect(seen is not None, "I1", f"{args[0]}: {outcome.decode()}, and not there")
        source = now.get(_field(seen.record, "cf")) if seen is not None else None
        if outcome == b"cached" and source is not None:
            age_ms = self.clock.server_ms - _number(source.record, "e")
            self.expect(
                age_ms <= CACHED_MS,
                "time",
                f"{args[0]}: its result from the cache is {age_ms} ms old",
            )
        if seen is not None:
            self.expect(
                seen.record.get("h") == args[1].encode("latin-1"), "I2", f"{args[0]}: other work"
            )

    def _check_depth(self, slot: str, script: str, reply: Reply, now: dict[str, _Seen]) -> None:
        """No submit is taken beyond the most that may wait, and a refused one changes nothing."""
        if script not in {"submit", "submit_cached"} or not isinstance(reply, list):
            return
        if reply[0] in {b"full", b"late", b"conflict"}:
            self.expect(now == self.jobs, "I2", f"a submit is refused ({reply}), and changes jobs")
        if not self.most_waiting or self.tampered:
            return
        before, after = (
            sum(each.slot == slot and _letter(each.record) in "QS" for each in jobs.values())
            for jobs in (self.jobs, now)
        )
        self.expect(
            reply[0] != b"created" or after <= self.most_waiting,
            "depth",
            f"{after} jobs wait; {self.most_waiting} may",
        )
        self.expect(
            reply[0] != b"full" or before >= self.most_waiting,
            "depth",
            f"a submit is refused, though {before} jobs wait; {self.most_waiting} may",
        )

    def _check_limits(
        self, slot: str, script: str, args: list[str], reply: Reply, now: dict[str, _Seen]
    ) -> None:
        """A claim never has more jobs RUNNING than is allowed; a new limit may find them."""
        if script == "limit" and reply:
            packed = {"": args[3]} | dict(zip(args[6::3], args[8::3], strict=True))
            most = {job_type: each.split()[:1] for job_type, each in packed.items()}
            self.limits[slot] = {name: int(m[0]) for name, m in most.items() if m and m[0] != "-"}
        if script != "claim" or self.tampered:
            return
        for job_type, most_running in self.limits.get(slot, {}).items():
            before, after = (_running(jobs, slot, job_type) for jobs in (self.jobs, now))
            self.expect(
                after <= max(most_running, before),
                "limit",
                f"{after} jobs of type '{job_type}' are RUNNING; {most_running} are allowed",
            )


def _running(jobs: dict[str, _Seen], slot: str, job_type: str) -> int:
    """How many are, of a type, or of all for ''."""
    types = (_field(each.record, "t") for each in jobs.values() if _runs_in(each, slot))
    return sum(job_type in {"", each} for each in types)


def _runs_in(seen: _Seen, slot: str) -> bool:
    return seen.slot == slot and _letter(seen.record) == "R"


def _seen(peeked: Reply) -> dict[str, _Seen]:
    """All jobs, by tail."""
    found = {}
    for tail, flat, lease, checkpoint, result, slot in peeked:
        tick = None if lease is None else int(lease)
        found[tail.decode()] = _Seen(_fields(flat), tick, checkpoint, result, slot.decode())
    return found


def _schedules(peeked: Reply) -> dict[str, Record]:
    """All schedules, by tail."""
    return {tail.decode(): _fields(flat) for tail, flat in peeked}


def _fields(flat: list[bytes]) -> Record:
    values = iter(flat)
    return {name.decode(): value for name, value in zip(values, values, strict=True)}


def _text(arg: Arg) -> str:
    return arg.decode("latin-1") if isinstance(arg, bytes) else str(arg)


def _letter(record: Record) -> str:
    return record.get("s", b"").decode()


def _field(record: Record, name: str) -> str:
    return record.get(name, b"").decode("latin-1")


def _number(record: Record, name: str) -> int:
    return int(record.get(name, 0))


def _difference(old: Record, new: Record) -> dict[str, Any]:
    names = sorted(old.keys() | new.keys())
    return {
        name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)
    }
