"""Expectations of a run: each by itself, with what was seen instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

__all__ = ["Check", "print_checks"]


@dataclass(frozen=True, slots=True)
class Check:
    """One expectation.

    Attributes:
        what: Is expected.
        expected: The value.
        seen: What it was.
    """

    what: str
    expected: Any
    seen: Any

    @property
    def holds(self) -> bool:
        """Whether it came out as planned."""
        return bool(self.expected == self.seen)

    @classmethod
    def that(cls, what: str, *, true: bool) -> Check:
        """Return an expectation that is plainly true or not."""
        return cls(what, "yes", "yes" if true else "no")


def print_checks(console: Console, checks: Sequence[Check]) -> None:
    """Print each expectation, and what was seen where it does not hold."""
    for check in checks:
        if check.holds:
            console.print(f"[green]ok[/]    {escape(check.what)}")
        else:
            console.print(f"[bold red]WRONG[/] {escape(check.what)}")
            console.print(f"      expected: {escape(repr(check.expected))}")
            console.print(f"      seen:     {escape(repr(check.seen))}")
