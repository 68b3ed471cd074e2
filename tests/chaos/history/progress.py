"""How far a run is, read off its journals as they grow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Progress"]

_CREATED: Final = b'"outcome": "CREATED"'
_RETURNED: Final = b'"how": "return"'


class Progress:
    """Counts what is new at each look, and keeps nothing.

    Args:
        folder: of the journals.

    Attributes:
        acknowledged: jobs so far.
        returned: attempts that returned, so far.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: Counter[Path] = Counter()
        self.acknowledged = 0
        self.returned = 0

    def read(self) -> str:
        """Looks, and tells."""
        for path in self._folder.glob("*.jsonl"):
            with path.open("rb") as file:
                file.seek(self._read[path])
                whole, end, _ = file.read().rpartition(b"\n")
            self._read[path] += len(whole) + len(end)
            self.acknowledged += whole.count(_CREATED)
            self.returned += whole.count(_RETURNED)
        return f"{self.acknowledged} jobs acknowledged, {self.returned} returned"
