"""Requests on a link that something is to happen to: a kill before one, or its reply lost.

A connection carries many requests at once, in chunks of any size. So where a trap is set, requests
are taken apart; and a PING of our own before and after the one that is trapped tells which bytes
are its reply, whatever else is under way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal

import hiredis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Requests", "Sprung", "Trap"]

_BEGIN: Final = re.compile(rb"\*\d+\r\n\$")
#: How a subscriber's PING is answered by RESP2, before its text.
_PONG: Final = b"*2\r\n$4\r\npong\r\n"

_numbers = count(1)


@dataclass
class Trap:
    """What is to happen to one request.

    Attributes:
        marker: bytes of the request. Empty is any.
        nth: of the requests with the marker it is, counted down; at 1 the next.
        act: called then.
        when: before the request is passed on, which then never is; or after its reply has come,
            which then is lost. The connection is reset in either case.
    """

    marker: bytes
    nth: int
    act: Callable[[], object]
    when: Literal["before", "after"]

    def catches(self, request: bytes) -> bool:
        """Whether it is this one; counts it if its turn is later."""
        if self.marker not in request:
            return False
        self.nth -= 1
        return self.nth < 1


class Requests:
    """Takes the requests of one connection apart.

    It may begin in the middle of one, whose rest is then passed over: a request is taken to begin
    where a chunk begins with the head of one, and the chunk before ended with the end of one.
    """

    def __init__(self) -> None:
        self._reader: Any = None
        self._raw = bytearray()
        self._is_at_end = True

    @property
    def is_at_work(self) -> bool:
        """Whether it has begun to."""
        return self._reader is not None

    def saw(self, chunk: bytes) -> None:
        """Notes a chunk that was passed on as it was."""
        self._is_at_end = chunk.endswith(b"\r\n")

    def flush(self) -> bytes:
        """Stops taking them apart; returns the part of a request that was held back."""
        held, self._raw, self._reader = bytes(self._raw), bytearray(), None
        if held:
            self._is_at_end = False
        return held

    def split(self, chunk: bytes) -> Iterator[bytes]:
        """What can be passed on: whole requests, one by one, or a chunk as it is."""
        if self._reader is None:
            if not (self._is_at_end and _BEGIN.match(chunk)):
                self.saw(chunk)
                yield chunk
                return
            self._reader = hiredis.Reader()
        self._raw += chunk
        self._reader.feed(chunk)
        pack: Any = hiredis.pack_command  # The stub says a tuple of one.
        while self._reader is not None and (request := self._reader.gets()) is not False:
            length = len(pack(tuple(request)))  # Clients send just what this makes of it.
            whole = bytes(self._raw[:length])
            del self._raw[:length]
            yield whole


class Sprung:
    """A trap that has caught a request, on the connection where it did.

    Its replies are given to `passed`, until `is_over`.
    """

    def __init__(self, trap: Trap) -> None:
        number = next(_numbers)
        self.trap = trap
        self.is_over = False
        self._before, self._after = f"before-{number}".encode(), f"after-{number}".encode()
        self._is_reply_next = False
        self._received = bytearray()

    def requests(self, request: bytes) -> bytes:
        """What the server is sent."""
        ping, pong = (b"*2\r\n$4\r\nPING\r\n" + _bulk(each) for each in (self._before, self._after))
        return ping + request + pong

    def passed(self, data: bytes) -> bytes:
        """Takes what the server sent; returns what of it comes before the reply that is lost."""
        self._received += data
        earlier = b""
        if not self._is_reply_next:
            mark = _bulk(self._before)
            at = self._received.find(mark)
            if at < 0:
                return b""
            earlier = bytes(self._received[:at]).removesuffix(_PONG)
            del self._received[: at + len(mark)]
            self._is_reply_next = True
        self.is_over = _bulk(self._after) in self._received
        return earlier


def _bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)
