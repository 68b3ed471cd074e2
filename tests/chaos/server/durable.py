"""What of a server's append-only files has reached the disk, by the notes of the shim."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["DurableFiles"]


class DurableFiles:
    """The files of a folder, and the size of each that is safe.

    Args:
        notes: that the shim "fsyncspy" writes. Other processes append to it.
        folder: of the append-only files.

    Attributes:
        loaded: the processes that have loaded the shim.
        synced_by: for each process, how often it has synced a file of the folder.
        longest_sync_s: how long the slowest sync of any file took, in seconds.
    """

    def __init__(self, notes: Path, folder: Path) -> None:
        self._notes = notes
        self._folder = folder
        self._read = 0  # Bytes of the notes.
        self._safe: dict[str, int] = {}
        self.loaded: set[int] = set()
        self.synced_by: dict[int, int] = {}
        self.longest_sync_s = 0.0

    def read(self) -> None:
        """Takes in the notes written since the last time; the server may go on writing them."""
        if not self._notes.exists():
            return
        with self._notes.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if line.endswith(b"\n"):
                    self._read += len(line)
                    self._take(line.decode().rstrip("\n").split("\t"))

    def forget_notes(self) -> None:
        """Takes in what is left and removes it. No process may be writing notes."""
        self.read()
        self._notes.unlink(missing_ok=True)
        self._read = 0

    def unsynced(self) -> int:
        """How many bytes of the folder's files are not safe."""
        return sum(max(0, path.stat().st_size - self._safe_of(path)) for path in self._files())

    def cut(self) -> int:
        """Cuts all files back to what is safe. Returns how many bytes were lost."""
        lost = self.unsynced()
        for path in self._files():
            if path.stat().st_size > self._safe_of(path):
                os.truncate(path, self._safe_of(path))
        return lost

    def _take(self, note: list[str]) -> None:
        match note:
            case ["load", pid]:
                self.loaded.add(int(pid))
            case ["sync", pid, size, path, took_us]:
                self._safe[path] = int(size)
                self.longest_sync_s = max(self.longest_sync_s, int(took_us) / 1e6)
                if path.startswith(f"{self._folder}/"):
                    self.synced_by[int(pid)] = self.synced_by.get(int(pid), 0) + 1
            case ["cut", _, size, path, _]:
                self._safe[path] = min(self._safe.get(path, 0), int(size))
            case ["rename", _, old, new]:
                self._safe[new] = self._safe.pop(old, 0)
            case _:
                raise ValueError(f"no note: {note}")

    def _safe_of(self, path: Path) -> int:
        return self._safe.get(str(path), 0)

    def _files(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.is_file()]
