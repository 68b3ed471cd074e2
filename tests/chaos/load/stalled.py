"""Watchers that stop reading."""

from __future__ import annotations

from typing import Final

from penstock.v1 import job_service_pb2 as pb
from tests.chaos.waiting import PATIENCE_S
from tests.support.http2 import Peer, framed

__all__ = ["StalledWatcher"]

_WATCH: Final = "/penstock.v1.JobService/StreamProgress"


class StalledWatcher:
    """A watcher that takes nothing, or so many bytes and then nothing more.

    Args:
        port: of the gateway, on loopback.
        job_id: of the job.
        window: how many bytes it takes.
        deaf: it does not even read its socket.

    Attributes:
        peer: its connection.
        deaf: as given.
    """

    def __init__(self, port: int, job_id: str, window: int, *, deaf: bool) -> None:
        self.peer = Peer(port, window=window, greedy=False)
        self._window = window
        self.deaf = deaf
        self._request = framed(pb.StreamProgressRequest(job_id=job_id).SerializeToString())
        self._stream = 0

    async def watch(self) -> None:
        """Opens the stream; returns once it has begun."""
        await self.peer.__aenter__()
        self._stream = self.peer.call(_WATCH, self._request)
        await self.peer.answered(self._stream, PATIENCE_S)
        if self.deaf:
            self.peer.deafen()

    @property
    def took_more(self) -> bool:
        """Whether it got more than it has granted: it cannot."""
        return self.peer.streams[self._stream].data > self._window

    @property
    def was_told(self) -> bool:
        """Whether it knows that the stream is over."""
        return self.peer.streams[self._stream].ended or self.peer.closed.is_set()
