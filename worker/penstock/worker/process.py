"""Runs CPU-bound handlers in child processes, which are reused, and killed if they do not stop."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import Content, PenstockError
from penstock.worker.codec import PayloadInvalid, ResultInvalid
from penstock.worker.executors import forget_cancels
from penstock.worker.frames import Frame, pack, read_frame
from penstock.worker.outcome import HandlerFailed
from penstock.worker.reporter import OutputLost, outlet_of
from penstock.worker.signals import Cancel, Retry, Stopped, StopReason
from penstock.worker.targets import target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.attempts import Attempts
    from penstock.worker.attempt import Attempt
    from penstock.worker.handler import Handler
    from penstock.worker.reporter import Reporter
    from penstock.worker.settings import WorkerSettings

__all__ = ["ProcessExecutor"]

#: How long a child whose socket is closed has to be gone (s).
EXIT_GRACE_S: Final = 2.0


class Child:
    """One child process and the socket to it. Made by `spawn`."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer

    @classmethod
    async def spawn(cls, settings: WorkerSettings) -> Child:
        """Starts a child. It cannot outlive this process: it ends when its socket does."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.to_thread(_start, theirs.fileno())
        reader, writer = await asyncio.open_connection(sock=ours)
        child = cls(process, reader, writer)
        child.send(
            pack(
                "setup",
                sys_path=sys.path,
                log_level=settings.log_level,
                log_format=settings.log_format,
            )
        )
        return child

    def send(self, frame: bytes) -> None:
        """Sends a frame; a child that is gone is noticed by who receives."""
        self._writer.write(frame)

    async def receive(self) -> Frame:
        """The next frame. Raises HandlerFailed once the child is gone."""
        try:
            return await read_frame(self._reader)
        except EOFError:
            status = await self.end()
            raise HandlerFailed("ChildProcessDied", _obituary(status)) from None

    def kill(self) -> None:
        """Ends it at once, whatever it is at."""
        self._process.kill()

    async def end(self) -> int:
        """Closes the socket, upon which the child ends; returns its exit status."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        return await asyncio.to_thread(_reap, self._process)


class ProcessExecutor:
    """Runs handlers in children, as many as there are jobs at once; idle ones are kept.

    Args:
        attempts: where what handlers say is written to.
        settings: how long a handler that was told to stop has for it; how children log.
    """

    def __init__(self, attempts: Attempts, settings: WorkerSettings) -> None:
        self._attempts = attempts
        self._settings = settings
        self._idle: list[Child] = []
        self._ending: set[asyncio.Task[int]] = set()

    async def start(self) -> None:
        """Does nothing: children are started when they are needed."""

    async def stop(self) -> None:
        """Ends all children."""
        for child in self._idle:
            self._retire(child)
        self._idle.clear()
        if self._ending:
            await asyncio.wait(self._ending)

    async def execute(self, attempt: Attempt, handler: Handler) -> Content:
        """As `Executor.execute`."""
        child = await self._child()
        reusable = False
        loop = asyncio.get_running_loop()

        def stop() -> None:
            child.send(pack("stop", reason=(attempt.stop_reason or StopReason.CANCELLED).name))
            loop.call_later(self._settings.stop_grace_s, give_up)

        def give_up() -> None:
            if attempt.on_stop is stop and attempt.task is not None:
                attempt.task.cancel()

        attempt.on_stop = stop
        attempt.on_drain = lambda: child.send(pack("drain"))
        try:
            if attempt.stop_reason is not None:  # It came while the child was being started.
                raise Stopped(attempt.stop_reason)
            child.send(_order(attempt, handler))
            last = await _converse(child, outlet_of(attempt, self._attempts))
            reusable = True
        finally:
            attempt.on_stop = attempt.on_drain = None
            if attempt.stop_reason is not None:
                forget_cancels(attempt)
            if reusable:
                self._idle.append(child)
            else:
                self._retire(child)
        return _result_of(last)

    async def _child(self) -> Child:
        if self._idle:
            return self._idle.pop()
        return await Child.spawn(self._settings)

    def _retire(self, child: Child) -> None:
        child.kill()
        task = asyncio.get_running_loop().create_task(child.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)


async def _converse(child: Child, outlet: Reporter) -> Frame:
    """Passes on what the handler says, until the frame that tells how it ended."""
    while True:
        frame = await child.receive()
        fields = frame.fields
        match frame.kind:
            case "progress":
                outlet.progress(fields["current"], fields["total"], fields["message"])
            case "log":
                outlet.log(fields["level"], fields["message"])
            case "emit" | "checkpoint":
                child.send(await _serve(frame, outlet))
            case _:
                return frame


async def _serve(frame: Frame, outlet: Reporter) -> bytes:
    """Does what the handler waits for; the answer to it."""
    failed: dict[str, Any] = {}
    try:
        if frame.kind == "emit":
            await outlet.emit(frame.body)
        else:
            await outlet.checkpoint(frame.body)
    except Stopped as stopped:
        failed = {"error": "Stopped", "message": stopped.reason.name}
    except (OutputLost, PenstockError) as error:
        failed = {"error": type(error).__name__, "message": str(error)}
    return pack("done", call=frame.fields["call"], **failed)


def _order(attempt: Attempt, handler: Handler) -> bytes:
    """The frame that has a child run an attempt."""
    payload = attempt.grant.payload
    facts = asdict(attempt.facts())
    checkpoint = facts.pop("checkpoint")
    return pack(
        "run",
        payload.data + (checkpoint or b""),
        name=handler.name,
        target=target_of(handler.function),
        facts=facts,
        content_type=payload.content_type,
        payload_bytes=len(payload.data),
        has_checkpoint=checkpoint is not None,
        draining=attempt.draining,
    )


def _result_of(frame: Frame) -> Content:
    """The result that a last frame holds. Raises what the handler raised."""
    fields = frame.fields
    if frame.kind == "result":
        return Content(frame.body, fields["content_type"])
    raise _error_of(fields)


def _error_of(fields: Mapping[str, Any]) -> BaseException:
    message: str = fields["message"]
    match fields["error"]:
        case "Retry":
            return Retry(fields["after_s"], message)
        case "Cancel":
            return Cancel(message)
        case "PayloadInvalid":
            return PayloadInvalid(message)
        case "ResultInvalid":
            return ResultInvalid(message)
        case "Stopped":
            return Stopped(StopReason[message])
    return HandlerFailed(fields["name"], message, fields["trace"])


def _start(fd: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "penstock.worker.child", str(fd)],
        stdin=subprocess.DEVNULL,
        pass_fds=[fd],
        start_new_session=True,  # Ctrl-C in a terminal is for the worker, which then drains.
    )


def _reap(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(EXIT_GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _obituary(status: int) -> str:
    if status >= 0:
        return f"the handler's process exited with status {status}"
    return f"the handler's process was ended by {signal.Signals(-status).name}"
