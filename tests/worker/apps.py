"""Handlers that run in other processes than the tests: in workers that are killed, in children.

Tests and handlers meet over files, whose paths are in the payloads.
"""

import os
import time
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from penstock.worker import Cancel, Context, Retry, SyncContext, Worker
from tests.support.waiting import eventually, wait_until

__all__ = ["MuteError", "app", "children", "other"]

POLL_S: Final = 0.005

app = Worker(slots=4)
other = Worker(slots=4)
children = Worker(slots=4)


class MuteError(Exception):
    """An error that does not even tell what it is."""

    def __str__(self) -> str:
        raise LookupError("no words")


class GoneError(Cancel):
    """A handler's own kind of Cancel."""


class Climb(BaseModel):
    """Steps to take, each with a report and a checkpoint; the gate must exist for the last one."""

    steps: int
    gate: Path


@app.job("climb")
async def climb(payload: Climb, ctx: Context) -> list[int]:
    """Counts up, from where an earlier attempt stood; returns that, and how far it got."""
    first = ctx.last_checkpoint or 0
    for step in range(first, payload.steps):
        ctx.progress(step, payload.steps)
        await ctx.emit(f"{step} ")
        await ctx.checkpoint(step + 1)
    ctx.progress(payload.steps, payload.steps)
    await eventually(payload.gate.exists, "the gate is open", within_s=60)
    return [first, payload.steps]


@app.job("blocked")
async def blocked(gate: Path, ctx: Context) -> str:
    """Holds the event loop itself until the gate exists, and then returns at once."""
    ctx.progress(0, 1)
    await ctx.checkpoint("the loop is about to be held")
    wait_until(gate.exists, "the gate is open", within_s=60)
    return "late"


@app.job("watchful")
def watchful(stopped: Path, ctx: SyncContext) -> None:
    """Waits to be told to stop, and leaves the reason in a file."""
    ctx.progress(0, 1)
    ctx.cancelled.wait()
    assert ctx.stop_reason is not None
    # In one step, so that a reader finds all of it or nothing.
    whole = stopped.with_suffix(".new")
    whole.write_text(ctx.stop_reason.name)
    whole.rename(stopped)


@app.job("draining")
async def draining(ctx: Context) -> str:
    """Returns once it sees that the worker drains."""
    ctx.progress(0, 1)
    await eventually(lambda: ctx.draining, "the worker drains", within_s=60)
    return "finished within the grace"


@app.job("endless")
async def endless(ctx: Context) -> None:
    ctx.progress(0, 1)
    await ctx.cancelled.wait()


@app.job("quick")
async def quick(number: int) -> int:
    return number


@app.job("whoami")
async def whoami() -> int:
    return os.getpid()


@other.job("other.job")
async def other_job() -> str:
    return "done by the other"


class Order(BaseModel):
    """A payload with a type of its own, which must exist in the child as well."""

    amount: int
    note: str = ""


@children.job("child.double", mode="process")
def double(order: Order, ctx: SyncContext) -> Order:
    ctx.progress(1, 2, "half")
    ctx.emit("a chunk")
    ctx.log("a line", level="warning")
    ctx.checkpoint({"seen": order.amount})
    ctx.progress(2, 2)
    return Order(amount=order.amount * 2, note=f"attempt {ctx.attempt} of {ctx.max_attempts}")


@children.job("child.writes", mode="process")
def child_writes(ctx: SyncContext) -> None:
    """Forgets what was cached of what it wrote."""
    ctx.invalidate("read", key="work", tags=["orders"])


@children.job("child.pid", mode="process")
def pid() -> int:
    return os.getpid()


@children.job("child.bytes", mode="process")
def raw(data: bytes) -> bytes:
    return data[::-1]


@children.job("child.facts", mode="process")
def facts(ctx: SyncContext) -> dict[str, str]:
    assert ctx.deadline is not None
    return {
        "job_id": ctx.job_id,
        "type": ctx.job_type,
        "queue": ctx.queue,
        "deadline": ctx.deadline.isoformat(),
        "schedule": f"{ctx.schedule_id} {ctx.occurrence_time}",
        **ctx.metadata,
    }


@children.job("child.loop", mode="process")
def loop(ctx: SyncContext) -> None:
    ctx.progress(0, 1)
    while True:
        ctx.check()
        time.sleep(POLL_S)


@children.job("child.stubborn", mode="process")
def stubborn(ctx: SyncContext) -> None:
    ctx.progress(0, 1, str(os.getpid()))
    while True:
        time.sleep(POLL_S)


@children.job("child.holds", mode="process")
def holds(ctx: SyncContext) -> int:
    """Is within one call into C for minutes, which never lets another thread run."""
    ctx.progress(0, 1, str(os.getpid()))
    ctx.checkpoint("the interpreter is about to be held")
    return sum(range(10**11))


@children.job("child.dies", mode="process")
def dies(number: int) -> None:
    os.kill(os.getpid(), number)


@children.job("child.exits", mode="process")
def exits() -> None:
    os._exit(3)


@children.job("child.varied", mode="process")
def varied(ctx: SyncContext) -> None:
    """Ends in another way at each attempt."""
    match ctx.attempt:
        case 1:
            raise Retry(after=0.01)
        case 2:
            raise LookupError("not here")
    raise Cancel("enough of it")


@children.job("child.mute", mode="process")
def mute() -> None:
    raise MuteError


@children.job("child.interrupted", mode="process")
def interrupted() -> None:
    raise KeyboardInterrupt


@children.job("child.gone", mode="process")
def gone() -> None:
    raise GoneError("nobody wants it")


@children.job("child.resumes", mode="process")
def resumes(ctx: SyncContext) -> str:
    if ctx.last_checkpoint is None:
        ctx.checkpoint(b"\x00 so far")
        raise RuntimeError("half-way")
    found: bytes = ctx.last_checkpoint
    return found.decode()


@children.job("child.draining", mode="process")
def child_draining(ctx: SyncContext) -> str:
    ctx.progress(0, 1)
    while not ctx.draining:
        time.sleep(POLL_S)
    return "saw it"


@children.job("child.floods", mode="process")
def floods(count: int, ctx: SyncContext) -> None:
    for number in range(count + 1):
        ctx.progress(number, count)


bus = Worker(("default", "side"), slots=4)


@bus.on("order.*", name="bus.child", queue="side", mode="process")
def bus_child(payload: dict[str, int], ctx: SyncContext) -> list[str]:
    """Tells of the message in a child process."""
    message = ctx.message
    assert message is not None
    assert payload
    return [message.message_id, message.topic, message.time.isoformat(), message.source]
