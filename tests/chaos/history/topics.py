"""Topics as a history tells of them: who wanted messages, and what was published."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from tests.chaos.history.register import LATE_NS, Register, Write
from tests.chaos.history.view import Submit, packed

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Publish", "Topics"]


@dataclass(slots=True, eq=False)
class Publish:
    """One message that was published, or repeated.

    Attributes:
        item: what the journal says of it; see `journal`.
        work: payload and envelope, packed: what each of its jobs is to have.
        receipts: of its jobs, by subscription; None if it was not acknowledged.
        doubles: subscriptions that were told twice in one answer.
        code: of the error, if it ended by one.
    """

    began: int
    by: str
    op: int
    item: dict[str, Any]
    work: str
    done: int | None = None
    receipts: dict[str, dict[str, Any]] | None = None
    doubles: tuple[str, ...] = ()
    code: str = ""

    @property
    def at(self) -> int:
        """When it was last heard of."""
        return self.began if self.done is None else self.done

    @property
    def message(self) -> str:
        """Its id."""
        return str(self.item["message"]["id"])

    @property
    def topic(self) -> str:
        """Where it was published."""
        return str(self.item["message"]["topic"])

    def submit(self, subscription: str) -> Submit:
        """The submit that it is for one subscription; without an answer, if it was told nothing."""
        item, receipt = self.item, (self.receipts or {}).get(subscription, {})
        return Submit(
            began=self.began,
            by=self.by,
            op=self.op,
            request=f"message {self.message} to {subscription}",
            type=sys.intern(subscription),
            payload=self.work,
            work=str(item["payload"]["work"]),
            ends=tuple(item["ends"]),
            delay_ms=item.get("delay_ms") or 0.0,
            max_attempts=item.get("max_attempts"),
            done=self.done if receipt else None,
            job=sys.intern(receipt.get("job") or ""),
            state=sys.intern(receipt.get("state") or ""),
            outcome=sys.intern(receipt.get("outcome") or ""),
            durability=sys.intern(receipt.get("durability") or ""),
        )

    def __str__(self) -> str:
        told = self.code or "no answer"
        if self.receipts is not None:
            jobs = ", ".join(f"{name} {told['job']}" for name, told in self.receipts.items())
            told = f"jobs {jobs or 'of nobody'}"
        return f"call {self.op}, publish of message {self.message} to {self.topic}: {told}"


@dataclass(slots=True, eq=False)
class Topics:
    """All that is known of them.

    Attributes:
        publishes: in the order of the lines.
        patterns: what each subscription wants, by its name; "" is nothing.
    """

    publishes: list[Publish] = field(default_factory=list)
    patterns: dict[str, Register[str]] = field(default_factory=dict)
    _open: dict[tuple[str, int], Publish] = field(default_factory=dict)
    _putting: dict[tuple[str, int], tuple[str, Write[str]]] = field(default_factory=dict)

    def call(self, at: int, by: str, told: dict[str, Any]) -> None:
        """A call that begins."""
        op = by, told["op"]
        match told["rpc"]:
            case "publish":
                work = packed({**told["payload"], "origin": told["message"]})
                publish = Publish(at, by, told["op"], told, work)
                self.publishes.append(publish)
                self._open[op] = publish
            case "subscribe" | "unsubscribe" as rpc:
                name = told["subscription"]
                pattern = told["pattern"] if rpc == "subscribe" else ""
                write = Write(at, by, told["op"], rpc, pattern)
                self.patterns.setdefault(name, Register("")).writes.append(write)
                self._putting[op] = name, write

    def answer(self, op: tuple[str, int], at: int, told: dict[str, Any]) -> None:
        """One that ended well."""
        if op in self._open:
            publish, jobs = self._open.pop(op), told["jobs"]
            names = [each["subscription"] for each in jobs]
            publish.done = at
            publish.receipts = {each["subscription"]: each for each in jobs}
            publish.doubles = tuple(name for name in {*names} if names.count(name) > 1)
        elif op in self._putting:
            self._putting.pop(op)[1].done = at

    def error(self, op: tuple[str, int], at: int, code: str, *, sure: bool) -> None:
        """One that failed. Of a publish some jobs may be stored, whatever the error."""
        if op in self._open:
            publish = self._open.pop(op)
            publish.done, publish.code = at, code
        elif op in self._putting and sure:
            name, write = self._putting.pop(op)
            self.patterns[name].drop(write)

    def wanted_by(self, publish: Publish) -> tuple[set[str], set[str]]:
        """The subscriptions that wanted it for certain while it was asked for, and all that may."""
        certain, possible = set(), set()
        for name, patterns in self.patterns.items():
            # Unless it was acknowledged, it may yet be done.
            until = publish.at if publish.receipts is not None else publish.began + LATE_NS
            wants = [
                _matches(each, publish.topic) for each in patterns.values(publish.began, until)
            ]
            if any(wants):
                possible.add(name)
            if all(wants):
                certain.add(name)
        return certain, possible

    def submits(self) -> Iterator[Submit]:
        """Each publish is a submit for every subscription that it may have reached."""
        for publish in self.publishes:
            _, possible = self.wanted_by(publish)
            for name in sorted(possible | {*(publish.receipts or ())}):
                yield publish.submit(name)


@cache
def _pattern(text: str) -> re.Pattern[str]:
    parts = {"*": r"[^.]+", "**": r".+"}
    return re.compile(r"\.".join(parts.get(part, re.escape(part)) for part in text.split(".")))


def _matches(pattern: str, topic: str) -> bool:
    return _pattern(pattern).fullmatch(topic) is not None
