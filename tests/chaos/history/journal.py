"""What happened, as each process saw it: lines of JSON, one file a process.

No fault of the server can touch them, and kill -9 tears at most the last line. Times are those of
the monotonic clock, which all processes of a machine share and no jump of the date moves.

Every line has the fields ``at`` (ns), ``by`` (the process) and ``kind``. The kinds:

==========  ===============================================================================
call        a client begins a call: ``op`` (its number, unique per process), ``rpc``, and what it
            asks for (below). Whoever submits a job says so, also a probe
answer      that call ended well: ``op``, and what the answer told (below)
error       that call failed: ``op``, ``code`` (of gRPC), ``sure`` (true where the status says that
            nothing was done; a call with neither line, or with sure = false, is indeterminate)
event       a watch told: ``op``, ``job``, ``first``, ``last`` (sequences), ``state`` (or null),
            ``gap`` (true for a message that stands for trimmed history), ``chunk`` (text, or null),
            ``attempt`` (of a state or chunk). A snapshot has ``snapshot`` (a view) instead, and
            covers no sequence. With a terminal state, ``view`` is the job that came with it
start       a handler begins: ``job``, ``type``, ``token``, ``attempt``, ``payload``.
            Where the job was made of a message or by a schedule, ``origin`` (below)
effect      a handler does what others can see: ``job``, ``token``, ``what``, ``value``. Told before
            it is done: chunk, progress, checkpoint. Told after: saved (a checkpoint was stored),
            resumed (what an attempt found as its checkpoint, null if nothing)
end         a handler ends: ``job``, ``token``, ``how`` (return, raise, retry, cancel, stopped), and
            ``why`` (the error, or the reason to stop)
strike      a fault begins: ``fault``, ``strike`` (its number in the run), ``target``, ``outage``
            (whether calls may fail by it), ``displaces`` (whether jobs may lose their places)
heal        what was broken is whole again: ``fault``, ``strike``
clock       the server's date is turned: ``ahead_ms`` of the true one from now on; a second time,
            with ``turned``, once it is
killed      a process was ended by SIGKILL: ``target``
taken       a strike took the entry of a job that waited: ``job``, ``how`` (the command)
recovered   the service is seen to work after it: ``fault``, ``strike``, ``after_ms``
final       what the server holds of a job at the end: a view, and ``type``, ``payload``, ``origin``
            as in a start, and by the server's date ``made_ms`` and ``ended_ms`` (null: it has not)
date        what the date is: ``date_ns``, since the epoch
audit       what is wrong with the server's data at the end: ``fault`` (one line each)
bound       what a process or the server holds after the drain: ``name`` (such as "connections of
            gateway-1"), ``value``, ``most``
==========  ===============================================================================

What calls ask for, and what their answers tell:

========  ==================================  ==================================================
rpc       call                                answer
========  ==================================  ==================================================
submit    ``jobs``: a list of items           ``jobs``: in the same order, each a receipt, or
                                              ``{"code": ..., "sure": ...}``
retry     ``job``, ``request``                a receipt
status    ``job``                             a view
wait      ``job``                             a view
cancel    ``job``                             a view
list      ``queue``                           ``jobs``: views without result
watch     ``job``, ``after`` (the cursor)     ``complete``: true unless the client left it before
publish   a message                           ``jobs``: receipts and ``subscription``
========  ==================================  ==================================================

``subscribe`` asks for ``subscription`` and ``pattern``, ``unsubscribe`` for ``subscription``. Calls
about schedules ask for ``schedule``, and are answered with what is shown of it: ``create`` (by
``spec``, ``paused``), ``update`` (by ``spec``), ``pause``, ``resume`` and ``get``; ``trigger`` (by
``request``) is answered with a receipt, ``delete`` with ``deleted``.

=======  ===========================================================================================
item     ``request``, ``type``, ``payload``, ``ends`` (the ends that its plan permits, such as
         "SUCCEEDED" or "FAILED:EXHAUSTED"; those that a cancel, a deadline or crashes bring need
         not be named), and where they are given ``key`` (of idempotency), ``cache_ms``
         (how old an answer from the cache may be), ``delay_ms``, ``deadline_ms``
         (from the submit), ``max_attempts``
message  ``message`` (an origin), ``payload``, ``ends``, ``delay_ms`` and ``max_attempts`` as of an
         item
origin   of a message ``id``, ``topic``, ``source``, ``time_ms``; of a run of a schedule
         ``schedule`` and ``occurrence`` (ms since the epoch, null for one by hand)
spec     of a schedule: ``type``, ``payload``, ``ends``, ``max_attempts`` as of an item;
         ``step_ms``, ``first_ms`` (any occurrence), ``start_ms``, ``end_ms``, ``overlap``,
         ``catch_up``, ``limit``, ``tolerance_ms``
shown    of a schedule: ``paused``, ``next_ms`` (null: none), ``fired``, ``triggered``, ``skipped``,
         ``missed``
receipt  ``job``, ``state``, ``outcome``, ``durability``
view     ``job``, ``state``, ``reason`` (of a FAILED one, else null), ``attempt``, ``crashes``,
         ``token``, ``sequence`` (the last), ``cancel`` (true while one is requested), ``result``
         (where it was asked for and is there), ``cached_from`` (where it is)
=======  ===========================================================================================

Payloads, chunks, checkpoints and results say where they come from, since that is what is checked:

==========  ===============================================================================
payload     an object with ``work``: unique to each piece of work. Submits have equal payloads only
            where they mean the same work: a repeated request, an idempotency key, a cache hit
result      an object with ``work``, as the payload, and ``token`` of the attempt that returned it
chunk       "TOKEN/NUMBER", with numbers from 1 within an attempt; what follows a space is free
checkpoint  ``{"token": of who saves it, "step": 1, 2, 3 ... over all attempts}``
==========  ===============================================================================
"""

from __future__ import annotations

import heapq
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Journal", "Line", "read_journals", "stream_journals"]


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


def stream_journals(folder: Path, names: str = "*") -> Iterator[Line]:
    """The lines of a run, none of them kept: those of each process in the order of their writing.

    The processes are merged by time, as far as their own lines are in order.

    Args:
        folder: holds the journals.
        names: of the processes, as a pattern.
    """
    files = [_lines_of(path) for path in sorted(folder.glob(f"{names}.jsonl"))]
    return heapq.merge(*files, key=lambda line: line.at)


def _lines_of(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for text in file:
            if not text.endswith(b"\n"):
                return  # The machine, not the process, was cut off.
            fields = json.loads(text)
            yield Line(fields.pop("at"), fields.pop("by"), fields.pop("kind"), fields)
