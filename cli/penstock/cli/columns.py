"""Tables that fit their terminal: the least important columns give way, the others stay whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

__all__ = ["KEPT", "Column", "fitted"]

KEPT: Final = 0
"""The rank of a column that is shown at any width."""

_GAP: Final = 2
_LEAST: Final = 10
"""What is left of a column that is cut, in characters."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        name: Its head.
        rank: KEPT, or where it stands among those that give way; the highest goes first.
        justify: Where its cells stand.
        wanted: Of its cells' width, how much other columns give way for; None is all of it. The
            rest of a cell is cut where there is no room.
    """

    name: str
    rank: int = KEPT
    justify: Literal["left", "right"] = "left"
    wanted: int | None = None


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Table:
    """Return the table of as many of the columns as fit.

    Args:
        columns: In the order in which they are shown.
        rows: A cell for each column.
        width: Of the terminal, in characters.
    """
    natural = [
        max([len(column.name), *(row[index].cell_len for row in rows)])
        for index, column in enumerate(columns)
    ]
    claimed = [
        size if column.wanted is None else min(size, max(column.wanted, len(column.name)))
        for column, size in zip(columns, natural, strict=True)
    ]
    shown = [index for index, size in enumerate(natural) if size]
    while _total(claimed, shown) > width:
        optional = [index for index in shown if columns[index].rank != KEPT]
        if not optional:
            break
        shown.remove(max(optional, key=lambda index: columns[index].rank))
    table = Table(box=None, pad_edge=False, header_style="dim")
    sizes = _with_room_used(columns, natural, claimed, shown, width - _total(claimed, shown))
    for index in shown:
        column = columns[index]
        table.add_column(
            column.name,
            justify=column.justify,
            no_wrap=True,
            overflow="ellipsis",
            min_width=sizes[index],
            max_width=sizes[index],
        )
    for row in rows:
        table.add_row(*(row[index] for index in shown))
    return table


def _with_room_used(
    columns: Sequence[Column],
    natural: Sequence[int],
    claimed: Sequence[int],
    shown: Sequence[int],
    spare: int,
) -> list[int]:
    """Return how wide each column is: spare room widens those that can be cut; a lack cuts them."""
    sizes = list(claimed)
    flexible = [index for index in shown if columns[index].wanted is not None]
    # The first ones name what a line is about, and are widened first, and cut last.
    for index in flexible if spare > 0 else reversed(flexible):
        sizes[index] = min(max(claimed[index] + spare, _LEAST), natural[index])
        spare -= sizes[index] - claimed[index]
    return sizes


def _total(sizes: Sequence[int], shown: Sequence[int]) -> int:
    return sum(sizes[index] for index in shown) + _GAP * (len(shown) - 1)
