"""A child process as its worker sees it: how it is started, talked to, and ended."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from penstock.worker.frames import Frame, pack, read_frame
from penstock.worker.outcome import HandlerFailed

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from penstock.worker.settings import WorkerSettings

__all__ = ["Child", "ChildProcessDied", "NeverBegun"]

#: How long a child whose socket is closed has to be gone (s).
EXIT_GRACE_S: Final = 2.0


class ChildProcessDied(HandlerFailed):
    """A child is gone, and its job with it."""

    def __init__(self, message: str) -> None:
        super().__init__("ChildProcessDied", message)


class NeverBegun(ChildProcessDied):
    """A child is gone that had not begun the job it was handed."""


class Child:
    """One child process and the socket to it. Made by `spawn`.

    Attributes:
        loaded: whether it is done with the import of the handler that it was started for.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.loaded = False

    @classmethod
    async def spawn(cls, settings: WorkerSettings, starter: Executor) -> Child:
        """Starts a child. It ends when its socket does; for more, see `leash`.

        Args:
            settings: How it logs.
            starter: Of one thread that lives until all children are gone: on Linux a child is
                killed when the thread ends that started it, and not only with the process.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            loop = asyncio.get_running_loop()
            process = await loop.run_in_executor(starter, _start, theirs.fileno())
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
        """The next frame. Raises ChildProcessDied once the child is gone."""
        try:
            frame = await read_frame(self._reader)
        except EOFError:
            status = await self.end()
            raise ChildProcessDied(_obituary(status)) from None
        self.loaded = self.loaded or frame.kind == "ready"
        return frame

    async def up(self, within_s: float) -> None:
        """Returns once its interpreter runs, or the time is up (s).

        Raises ChildProcessDied if it is gone before.
        """
        await self._said("up", within_s)

    async def ready(self, within_s: float) -> None:
        """Returns once it has loaded what it was told to, or the time is up (s).

        Raises ChildProcessDied if it is gone before.
        """
        await self._said("ready", within_s)

    async def begin(self, order: bytes) -> None:
        """Hands it a job; returns once it has begun. Raises NeverBegun if it is gone before."""
        self.send(order)
        try:
            while (await self.receive()).kind != "begun":
                pass  # What a thread that an earlier handler left behind still had to say.
        except ChildProcessDied as died:
            raise NeverBegun(died.message) from None

    @property
    def exited(self) -> bool:
        """Whether it is gone, or as good as that."""
        return self._reader.at_eof() or self._process.poll() is not None

    def kill(self) -> None:
        """Ends it at once, whatever it is at."""
        self._process.kill()

    async def end(self) -> int:
        """Closes the socket, upon which the child ends; returns its exit status."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        return await asyncio.to_thread(_reap, self._process)

    async def _said(self, kind: str, within_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while (await self.receive()).kind != kind:
                    pass


def _start(fd: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "penstock.worker.child", str(fd), str(os.getpid())],
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
