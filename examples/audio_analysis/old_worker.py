"""The old worker: ``python -m examples.audio_analysis.old_worker [--every 5]``.

One analysis after the other. When nothing waits, it sleeps, and looks again: what comes in
meanwhile waits for that. The bridge leaves it as it is, and may run beside it.
"""

from __future__ import annotations

import argparse
import signal
import threading

from examples.audio_analysis import measure
from examples.audio_analysis.table import Table

__all__: list[str] = []


def main() -> None:
    """Poll until asked to stop; the row at hand is finished first."""
    parser = argparse.ArgumentParser(prog="python -m examples.audio_analysis.old_worker")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two looks")
    pause_s = parser.parse_args().every
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    signal.signal(signal.SIGINT, lambda *_: stopped.set())
    table = Table()
    while not stopped.is_set():
        if not _one(table):
            stopped.wait(pause_s)


def _one(table: Table) -> bool:
    """Runs the oldest row; returns whether there was one."""
    for row in table.take("old worker"):
        try:
            found = measure.analyze(row.file_key, lambda _, __: None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this row's.
            table.finish(row.row_id, None, str(error) or type(error).__name__)
        else:
            table.finish(row.row_id, found.model_dump())
        return True
    return False


if __name__ == "__main__":
    main()
