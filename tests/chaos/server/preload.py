"""Shims before the C library: what a process thinks of the disk and of the date.

They are compiled from ``shims/`` into a run's folder, and reach a process by LD_PRELOAD. Those
with a dial can be turned while the process runs.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.chaos.scenario import Skipped

__all__ = ["Dial", "Preload", "shims_to_be_had"]

_SOURCES: Final = Path(__file__).parent / "shims"
_NUMBER: Final = struct.Struct("=q")


class Dial:
    """A number in a file, which shims look at each time they act.

    Args:
        path: of the file; it is made, with a zero.
    """

    def __init__(self, path: Path) -> None:
        path.write_bytes(_NUMBER.pack(0))
        with path.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), _NUMBER.size)

    @property
    def value(self) -> int:
        """What it is set to."""
        number: int = _NUMBER.unpack_from(self._page)[0]
        return number

    @value.setter
    def value(self, number: int) -> None:
        _NUMBER.pack_into(self._page, 0, number)


def shims_to_be_had(*shims: str) -> tuple[str, ...]:
    """Those of the shims that this machine can compile and preload."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            Preload(Path(folder), *shims)
        except Skipped:
            return ()
    return shims


class Preload:
    """The shims of one process, or of several that share their dials.

    Args:
        folder: takes the compiled shims, their dials and notes.
        shims: by name: "fsyncspy", "slowfsync", "clock".

    Attributes:
        fsync_notes: what "fsyncspy" writes down.
        fsync_delay: in microseconds, of "slowfsync".
        clock_offset: in nanoseconds, of "clock".

    Raises:
        Skipped: this machine cannot compile or preload them.
    """

    def __init__(self, folder: Path, *shims: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.fsync_notes = folder / "fsync-notes"
        self.fsync_delay = Dial(folder / "fsync-delay")
        self.clock_offset = Dial(folder / "clock-offset")
        self._folder = folder
        self._shims = [_compile(shim, folder) for shim in shims]

    @property
    def env(self) -> dict[str, str]:
        """What the environment of a process needs."""
        if not self._shims:
            return {}
        return {
            "LD_PRELOAD": " ".join(map(str, self._shims)),
            "PENSTOCK_FSYNC_NOTES": str(self.fsync_notes),
            "PENSTOCK_FSYNC_DELAY": str(self._folder / "fsync-delay"),
            "PENSTOCK_CLOCK_OFFSET": str(self._folder / "clock-offset"),
        }


def _compile(shim: str, folder: Path) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        raise Skipped("needs Linux and a C compiler (cc)")
    if " " in str(folder) or ":" in str(folder):
        raise Skipped(f"needs a folder whose path LD_PRELOAD can hold, not {folder}")
    library = (folder / f"{shim}.so").resolve()
    if not library.exists():
        made = subprocess.run(
            [
                *(compiler, "-shared", "-fPIC", "-O2", "-Wall", "-o", str(library)),
                *(str(_SOURCES / f"{shim}.c"), "-ldl"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode:
            raise Skipped(f"needs a working C compiler: {made.stderr.strip()[-300:]}")
    return library
