"""Clients of gRPC that no library would be: they speak HTTP/2 by hand, and badly if told to."""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, cast

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Peer", "Stream", "framed"]

_CONNECT_S: Final = 30.0


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """A message as gRPC sends it."""
    return struct.pack(">BI", compressed, len(message)) + message


@dataclass
class Stream:
    """What a peer was told on a stream.

    Attributes:
        headers: of the response and its trailers, together.
        data: bytes of messages, in their frames.
        reset: the error code of an RST_STREAM.
        ended: nothing more will come.
    """

    headers: dict[str, str] = field(default_factory=dict)
    data: int = 0
    reset: int | None = None
    ended: bool = False

    @property
    def status(self) -> int | None:
        """Of gRPC, if one was sent."""
        told = self.headers.get("grpc-status")
        return None if told is None else int(told)


class Peer(asyncio.Protocol):
    """One connection. An async context manager: leaving it resets the connection.

    Args:
        port: of loopback.
        window: how many bytes it takes on a stream at once.
        source: the address of loopback that it comes from.
        greedy: takes more as soon as it has got some; otherwise, never.

    Attributes:
        streams: by number.
        goaway: the error code of a GOAWAY.
        closed: set when the connection is over.
        changed: set whenever something came.
    """

    def __init__(
        self, port: int, *, window: int = 65_535, greedy: bool = True, source: str = "127.0.0.1"
    ) -> None:
        self._port = port
        self._source = source
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2 = h2.connection.H2Connection(config)
        self._h2.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window,
                h2.settings.SettingCodes.ENABLE_PUSH: 0,
            },
        )
        self._greedy = greedy
        self._transport: asyncio.Transport | None = None
        self.streams: dict[int, Stream] = defaultdict(Stream)
        self.goaway: int | None = None
        self.closed = asyncio.Event()
        self.changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_CONNECT_S):
            await loop.create_connection(
                lambda: self, "127.0.0.1", self._port, local_addr=(self._source, 0)
            )
            # The server's settings: before they are acknowledged, its limits are not in force.
            await self.changed.wait()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.hang_up()

    # What it does.

    def call(self, path: str, message: bytes = b"", headers: Sequence[tuple[str, str]] = ()) -> int:
        """Begins a call with one request, framed already. Returns the number of its stream."""
        number = self._h2.get_next_available_stream_id()
        told = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *headers,
        ]
        self._h2.send_headers(number, told)
        # No more than is granted: what does not fit is left unsent, and the stream open.
        fits = min(len(message), self._h2.local_flow_control_window(number))
        for begin in range(0, fits, 16_384):
            self._h2.send_data(number, message[begin : min(begin + 16_384, fits)])
        if fits == len(message):
            self._h2.end_stream(number)
        self._flush()
        return number

    def reset(self, number: int) -> None:
        """Cancels a call."""
        self._h2.reset_stream(number, error_code=8)
        self._flush()

    def take(self, count: int) -> None:
        """Grants so many bytes more, on the connection and on each of its streams."""
        self._h2.increment_flow_control_window(count)
        for number, stream in self.streams.items():
            if not stream.ended:
                self._h2.increment_flow_control_window(count, number)
        self._flush()

    def ping(self) -> None:
        """Asks whether the server is there."""
        self._h2.ping(b"\0" * 8)
        self._flush()

    def send(self, data: bytes) -> None:
        """Bytes as they are, sound or not."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def deafen(self) -> None:
        """Reads nothing from the socket any more."""
        if self._transport is not None:
            self._transport.pause_reading()

    def hang_up(self) -> None:
        """Resets the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def status_of(self, number: int, within_s: float = 30.0) -> int | None:
        """The status that a call ended with; None if it was reset, or the connection lost."""
        async with asyncio.timeout(within_s):
            while not self.streams[number].ended and not self.closed.is_set():
                self.changed.clear()
                await self.changed.wait()
        return self.streams[number].status

    async def answered(self, number: int, within_s: float = 30.0) -> None:
        """Returns once a call has got headers, or is over."""
        async with asyncio.timeout(within_s):
            while not (self.streams[number].headers or self.closed.is_set()):
                self.changed.clear()
                await self.changed.wait()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._h2.receive_data(data):
                self._take(event)
        except h2.exceptions.ProtocolError:
            pass  # Whoever misbehaves need not understand what comes of it.
        self._flush()
        self.changed.set()

    def connection_lost(self, _: Exception | None) -> None:
        self.closed.set()
        self.changed.set()

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                headers = cast("list[tuple[str, str]]", event.headers or [])
                self.streams[event.stream_id].headers.update(headers)
            case h2.events.DataReceived():
                self.streams[event.stream_id].data += len(event.data)
                if self._greedy:
                    self._h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
            case h2.events.StreamEnded():
                self.streams[event.stream_id].ended = True
            case h2.events.StreamReset():
                self.streams[event.stream_id].reset = int(event.error_code)
                self.streams[event.stream_id].ended = True
            case h2.events.ConnectionTerminated():
                self.goaway = int(event.error_code or 0)
            case _:
                pass

    def _flush(self) -> None:
        self.send(self._h2.data_to_send())
