"""What a test left behind."""

import asyncio
import gc
import threading
import time
from typing import Final

__all__ = ["tasks_left", "threads_left"]

# Those that already end need a moment; those that do not are the leak.
_GRACE_S: Final = 1.0

# Threads that end later by themselves, by a part of their names.
_OTHERS_THREADS: Final = (
    "asyncio_",  # The event loop's own executor, joined when the loop closes, after this check.
    "uvloop_",  # The same, on uvloop.
    "_poll_wrapper",  # grpc.aio's poller: it ends with the last call, which an exception may hold.
    "Dummy-",  # One that was not made by Python's threading (execnet's, gRPC's), once it is met.
    "execnet",  # pytest-xdist's channel to the main process.
    "pytest_timeout",  # The watch of pytest-timeout, where it uses a thread.
)


def threads_left(before: set[threading.Thread]) -> list[str]:
    """Return the names of live threads that were not there before, after a short grace."""
    give_up = time.monotonic() + _GRACE_S
    while left := _ours(before):
        if time.monotonic() >= give_up:
            return left
        # gRPC's poller ends with the last channel; an error's traceback may hold one in a cycle.
        gc.collect()
        time.sleep(0.005)
    return []


def _ours(before: set[threading.Thread]) -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread not in before and not any(part in thread.name for part in _OTHERS_THREADS)
    ]


async def tasks_left() -> list[str]:
    """Return the pending tasks of the running loop, except the caller, after a short grace."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    if not others:
        return []
    _, pending = await asyncio.wait(others, timeout=_GRACE_S)
    return sorted(repr(task) for task in pending)
