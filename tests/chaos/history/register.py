"""What a value may be at some time, by the calls that write it: they overlap, and some get lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

__all__ = ["LATE_NS", "Register", "Write"]

#: For so long after it began, a call that nobody answered may still be done: gateways and links
#: stand still for seconds, and a call has a deadline. Generous, since a shorter one accuses.
LATE_NS: Final = 90 * 1_000_000_000

_Value = TypeVar("_Value")


@dataclass(slots=True, eq=False)
class Write(Generic[_Value]):
    """A call that sets the value.

    Attributes:
        began: when it was asked for (ns).
        by: the process that asked.
        op: number of the call.
        rpc: what was called.
        value: that it sets.
        done: when it was acknowledged (ns); None if it was not.
    """

    began: int
    by: str
    op: int
    rpc: str
    value: _Value
    done: int | None = None

    @property
    def at(self) -> int:
        """When it was last heard of."""
        return self.began if self.done is None else self.done

    @property
    def over(self) -> int:
        """When it is done, if ever it is."""
        return self.began + LATE_NS if self.done is None else self.done

    def __str__(self) -> str:
        told = "no answer" if self.done is None else "acknowledged"
        return f"call {self.op}, {self.rpc} of {self.value}: {told}"


@dataclass(slots=True, eq=False)
class Register(Generic[_Value]):
    """Holds the value that was written last.

    Attributes:
        first: what it holds before anything was written.
        writes: all that may have been done.
    """

    first: _Value
    writes: list[Write[_Value]] = field(default_factory=list)

    def drop(self, write: Write[_Value]) -> None:
        """A write that was refused: it did nothing."""
        self.writes.remove(write)

    def possible(self, since: int, until: int) -> list[Write[_Value]]:
        """The writes whose value it may have held at some time in a span (ns)."""
        # Whatever was over before this one began was overwritten by it.
        floor = max(
            (each.began for each in self.writes if each.done is not None and each.done < since),
            default=None,
        )
        found = [
            each
            for each in self.writes
            if each.began <= until and (floor is None or each.over >= floor)
        ]
        if floor is None:
            found.insert(0, Write(0, "", 0, "", self.first, 0))
        return found

    def values(self, since: int, until: int) -> list[_Value]:
        """The values that it may have held."""
        return [each.value for each in self.possible(since, until)]
