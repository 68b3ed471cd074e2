"""What a deployment needs once: ``python -m examples.watchparty.setup [--messages N] [--cron C]``.

The tables; rows to try it with, if wanted; policy and schedule of the clean-up. Running it again is
safe: tables with rows stay as they are, and the schedule becomes what is asked for.
"""

from __future__ import annotations

import argparse
import time
from typing import Final

from examples.watchparty.database import engine
from examples.watchparty.filling import count_rows, fill
from examples.watchparty.jobs import CLEANUP, SWEEP, Sweep
from examples.watchparty.tables import Table
from penstock.client import AlreadyExists, CatchUp, Client, NewJob, Overlap, Schedule

__all__ = ["main", "schedule"]

NIGHTLY: Final = "0 4 * * *"
SCHEDULE_ID: Final = "watchparty.sweep"


def main() -> None:
    """Sets it up."""
    parser = argparse.ArgumentParser(prog="python -m examples.watchparty.setup")
    parser.add_argument("--messages", type=int, default=0, help="fill empty tables with so many")
    parser.add_argument("--cron", default=NIGHTLY, help="when to clean up; '' is never")
    arguments = parser.parse_args()
    began = time.monotonic()
    Table.metadata.create_all(engine())
    if arguments.messages and not count_rows():
        fill(arguments.messages)
    print(f"{count_rows():,} rows, {time.monotonic() - began:.1f} s", flush=True)
    with Client() as client:
        # By hand or by the clock, on however many workers: one at a time.
        client.set_queue_policy(CLEANUP, concurrency=1)
        if arguments.cron:
            schedule(client, arguments.cron)
        else:
            client.delete_schedule(SCHEDULE_ID)


def schedule(client: Client, cron: str) -> None:
    """Has old rooms swept by the clock; one sweep at a time, and after an outage one, not many."""
    wanted = Schedule(
        NewJob(SWEEP, Sweep(), queue=CLEANUP, timeout=3600, allow_unregistered=True),
        cron=cron,
        overlap=Overlap.SKIP,
        catch_up=CatchUp.LAST,
    )
    try:
        client.create_schedule(SCHEDULE_ID, wanted)
    except AlreadyExists:
        client.update_schedule(SCHEDULE_ID, wanted)


if __name__ == "__main__":
    main()
