"""A bar for work that is done in steps: where there is no terminal, nothing is shown."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from penstock.cli.output import for_people, json_wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["counting"]


@contextlib.contextmanager
def counting(label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar while the block runs; gives a function that takes how much is done.

    Args:
        label: What is being done.
        total: How much there is to do; None is unknown.
    """
    console = for_people()
    if json_wanted() or not console.is_terminal:
        yield lambda _done: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(label, total=total)
        yield lambda done: bars.update(task, completed=done)
