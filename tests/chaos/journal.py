"""What happened, as each process saw it: lines of JSON, one file a process.

No fault of the server can touch them, and kill -9 tears at most the last line. Times are those of
the monotonic clock, which all processes of a machine share and no jump of the date moves.

Every line has the fields ``at`` (ns), ``by`` (the process) and ``kind``. The kinds:

==========  ===============================================================================
call        a client begins a call: ``op`` (its number, unique per process), ``rpc`` (submit,
            status, wait, watch, cancel, retry, list), and what it asked for
answer      that call ended well: ``op``, and what the answer told
error       that call failed: ``op``, ``code`` (of gRPC), ``sure`` (true where the status says that
            nothing was done; a call with neither line, or with sure = false, is indeterminate)
event       a watch told: ``op``, ``job``, ``first``, ``last`` (sequences), ``state`` (or null),
            ``gap`` (true for a message that stands for trimmed history), ``chunk`` (text, or null)
start       a handler begins: ``job``, ``type``, ``token``, ``attempt``, ``crashes``, ``payload``
effect      a handler does what others can see: ``job``, ``token``, ``what`` (chunk, progress,
            checkpoint, resumed), ``value``
end         a handler ends: ``job``, ``token``, ``how`` (return, raise, retry, cancel, stopped)
strike      a fault begins: ``fault``, ``strike`` (its number in the run), ``target``
heal        what was broken is whole again: ``fault``, ``strike``
recovered   the service is seen to work after it: ``fault``, ``strike``, ``after_ms``
final       what the server holds of a job at the end: ``job``, ``type``, ``state``, ``reason``,
            ``attempt``, ``crashes``, ``token``, ``result``, ``request``, ``sequence`` (the last)
audit       what is wrong with the server's data at the end: ``fault`` (one line each)
==========  ===============================================================================
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Journal", "Line", "read_journals"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a journal.

    Attributes:
        at: when, in ns of the machine's monotonic clock.
        by: the process, by its journal's name.
        kind: see above.
        fields: what else it tells.
    """

    at: int
    by: str
    kind: str
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - JSON.
        return self.fields[name]


class Journal:
    """One process's own file, to which it appends whole lines.

    Args:
        folder: holds the journals of a run.
        name: of the process; a restarted one goes on under another name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(
            folder / f"{name}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644
        )

    def write(self, kind: str, **fields: object) -> int:
        """Appends a line by one write, which kill -9 cannot split. Returns its time (ns)."""
        at = time.monotonic_ns()
        line = json.dumps({"at": at, "by": self.name, "kind": kind, **fields})
        os.write(self._file, line.encode() + b"\n")
        return at

    def close(self) -> None:
        """Ends it."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def read_journals(folder: Path) -> list[Line]:
    """All lines of a run, by time."""
    return sorted(
        (line for path in folder.glob("*.jsonl") for line in _lines_of(path)),
        key=lambda line: line.at,
    )


def _lines_of(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for text in file:
            if not text.endswith(b"\n"):
                return  # The machine, not the process, was cut off.
            fields = json.loads(text)
            yield Line(fields.pop("at"), fields.pop("by"), fields.pop("kind"), fields)
