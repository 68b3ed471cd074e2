"""How long a scenario waits for anything, and how it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PATIENCE_S", "when"]

#: Whatever a scenario waits for comes within it, or something is wrong (s).
PATIENCE_S: Final = 60.0
#: Seldom, as a look may be one into all journals (s).
_LOOK_EVERY_S: Final = 0.02


async def when(
    holds: Callable[[], Any],  # of `eventually`.
    what: str,
    within_s: float = PATIENCE_S,
) -> None:
    """Returns once it holds.

    Args:
        holds: a plain or an async function.
        what: is waited for, as a violation will say.
        within_s: the limit (s).

    Raises:
        AssertionError: it did not hold in time; the scenario cannot go on.
    """
    await eventually(holds, what, within_s=within_s, every_s=_LOOK_EVERY_S)
