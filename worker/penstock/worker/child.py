"""The child process in which CPU-bound handlers run: ``python -m penstock.worker.child FD PARENT``.

The handler has the main thread. A second thread talks to the worker, on an event loop of its own,
which the handler's `SyncContext` uses as it would use the worker's.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn

from penstock.broker import Content, Message
from penstock.runtime import configure_logging
from penstock.worker.codec import PayloadInvalid, ResultInvalid
from penstock.worker.executors import call
from penstock.worker.frames import Frame, pack, read_frame
from penstock.worker.handler import Handler
from penstock.worker.leash import tie_to_parent
from penstock.worker.orders import Orders
from penstock.worker.outlet import Facts
from penstock.worker.reporter import PROGRESS_EVERY_S, OutputLost
from penstock.worker.signals import Cancel, Retry, Stopped, StopReason
from penstock.worker.sync_context import SyncContext
from penstock.worker.targets import resolve
from penstock.worker.text import describe
from penstock.worker.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.broker import CacheTarget

__all__ = ["main"]


class Line:
    """The connection to the worker, in the second thread; the outlet of the handler's context.

    Args:
        sock: One end of the socket pair.
        take: Called with each job to run.
    """

    def __init__(self, sock: socket.socket, take: Callable[[Frame, Orders], None]) -> None:
        self._sock = sock
        self._take = take
        self._calls: dict[int, asyncio.Future[None]] = {}
        self._numbers = count(1)
        self._orders = Orders()
        self._throttle: Throttle[tuple[float, float, str]] = Throttle(
            PROGRESS_EVERY_S, self._send_progress
        )
        self._writer: asyncio.StreamWriter
        self.loop: asyncio.AbstractEventLoop

    def run(self) -> NoReturn:
        """Talks until the worker is gone, and then ends the process at once."""
        try:
            asyncio.run(self._listen())
        except EOFError:
            pass
        finally:
            # Whatever the handler is at, nobody waits for it any more.
            os._exit(0)

    # The outlet.

    def progress(self, current: float, total: float, message: str) -> None:
        """See `Outlet.progress`."""
        self._throttle.offer((current, total, message))

    def log(self, level: str, message: str) -> None:
        """See `Outlet.log`."""
        self._writer.write(pack("log", level=level, message=message))

    async def emit(self, data: bytes) -> None:
        """See `Outlet.emit`."""
        await self._ask("emit", data)

    async def checkpoint(self, data: bytes) -> None:
        """See `Outlet.checkpoint`."""
        await self._ask("checkpoint", data)

    async def invalidate(self, targets: Sequence[CacheTarget]) -> None:
        """See `Outlet.invalidate`."""
        names = [(target.type, target.key, target.tag) for target in targets]
        await self._ask("invalidate", json.dumps(names).encode())

    # The end of a job.

    def finish(self, frame: bytes) -> None:
        """Tells how the handler ended."""
        self._throttle.flush()
        self._writer.write(frame)

    # Inside.

    def _send_progress(self, latest: tuple[float, float, str]) -> None:
        current, total, message = latest
        self._writer.write(pack("progress", current=current, total=total, message=message))

    async def _ask(self, kind: str, data: bytes) -> None:
        number = next(self._numbers)
        answer = self._calls[number] = self.loop.create_future()
        self._writer.write(pack(kind, data, call=number))
        try:
            await answer
        finally:
            del self._calls[number]

    async def _listen(self) -> None:
        self.loop = asyncio.get_running_loop()
        reader, self._writer = await asyncio.open_connection(sock=self._sock)
        while True:
            self._hear(await read_frame(reader))

    def _hear(self, frame: Frame) -> None:
        fields = frame.fields
        match frame.kind:
            case "setup":
                sys.path[:] = fields["sys_path"]
                configure_logging(fields["log_level"], fields["log_format"])
                self._writer.write(pack("up"))
            case "load":
                self._take(frame, self._orders)
            case "run":
                self._orders = Orders()
                self._orders.draining = fields["draining"]
                self._writer.write(pack("begun"))
                self._take(frame, self._orders)
            case "stop":
                self._orders.order_stop(StopReason[fields["reason"]])
            case "drain":
                self._orders.draining = True
            case "done":
                self._answered(fields)

    def _answered(self, fields: Any) -> None:  # noqa: ANN401 - fields of a frame.
        answer = self._calls.get(fields["call"])
        if answer is None or answer.done():
            return
        match fields.get("error"):
            case None:
                answer.set_result(None)
            case "Stopped":
                answer.set_exception(Stopped(StopReason[fields["message"]]))
            case _:
                answer.set_exception(OutputLost(fields["message"]))


def main(fd: int, parent: int) -> None:
    """Runs handlers, one after the other, until the worker hangs up.

    Args:
        fd: Of the socket to the worker.
        parent: Process id of the worker.
    """
    tie_to_parent(parent)
    # The worker decides when a handler is to stop; a signal to the whole group is not meant for
    # it. A function rather than SIG_IGN, which programs started by the handler would inherit.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    jobs: queue.SimpleQueue[tuple[Frame, Orders]] = queue.SimpleQueue()
    line = Line(socket.socket(fileno=fd), lambda frame, orders: jobs.put((frame, orders)))
    threading.Thread(target=line.run, name="penstock-line", daemon=True).start()
    handlers: dict[tuple[str, ...], Handler] = {}
    while True:
        frame, orders = jobs.get()
        if frame.kind == "load":
            # What is raised is raised again, and told, when the first job comes.
            with suppress(BaseException):
                _handler(frame, handlers)
            ended = pack("ready")
        else:
            ended = _run(line, frame, orders, handlers)
        line.loop.call_soon_threadsafe(line.finish, ended)
        del frame, ended  # Else the next wait keeps payload and result alive.


def _run(
    line: Line, frame: Frame, orders: Orders, handlers: dict[tuple[str, ...], Handler]
) -> bytes:
    """Runs one job; the frame that tells how it ended."""
    fields = frame.fields
    payload = Content(frame.body[: fields["payload_bytes"]], fields["content_type"])
    checkpoint = frame.body[fields["payload_bytes"] :] if fields["has_checkpoint"] else None
    known = fields["facts"]
    message = known.pop("message")
    facts = Facts(**known, checkpoint=checkpoint, message=message and Message(**message))
    context = SyncContext(facts, orders, line, line.loop)
    try:
        result = call(_handler(frame, handlers), payload, context)
    except BaseException as error:  # noqa: BLE001 - whatever ends a handler ends its attempt alone.
        return _raised(error)
    return pack("result", result.data, content_type=result.content_type)


def _handler(frame: Frame, handlers: dict[tuple[str, ...], Handler]) -> Handler:
    """The handler that a frame is about, imported at its first job. Raises what that raises."""
    fields = frame.fields
    target = tuple(fields["target"])
    if target not in handlers:
        handlers[target] = Handler.define(fields["name"], resolve(fields["target"]), mode="process")
    return handlers[target]


def _raised(error: BaseException) -> bytes:
    """The frame that tells what came out of a handler: one of ours by name, all else described."""
    message = describe(error)
    match error:  # By the names of ours, not of a handler's subclass of them.
        case Stopped():
            return pack("raised", error="Stopped", message=error.reason.name)
        case Retry(after_s=float() | None as after_s):
            return pack("raised", error="Retry", message=message, after_s=after_s)
        case Cancel(reason=reason):
            return pack("raised", error="Cancel", message=describe(reason))
        case PayloadInvalid():
            return pack("raised", error="PayloadInvalid", message=message)
        case ResultInvalid():
            return pack("raised", error="ResultInvalid", message=message)
    trace = "".join(traceback.format_exception(error))
    return pack("raised", error="", name=type(error).__name__, message=message, trace=trace)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
