"""Bytes that no client should send."""

from __future__ import annotations

import gzip
import os
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

__all__ = ["bomb", "noises"]

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def bomb() -> bytes:
    """300 MB of nothing, which gzip makes small."""
    return gzip.compress(b"\0" * (300 << 20), 6)


def noises(chance: random.Random) -> Sequence[bytes]:
    """What may come over a connection, and is no HTTP/2, or hardly."""

    def frame(kind: int, flags: int, stream: int, body: bytes, length: int = -1) -> bytes:
        size = len(body) if length < 0 else length
        return size.to_bytes(3, "big") + struct.pack(">BBI", kind, flags, stream) + body

    hello = _PREFACE + frame(4, 0, 0, b"")
    return [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + chance.randbytes(200),
        *(chance.randbytes(2_000) for _ in range(10)),
        *(hello + chance.randbytes(2_000) for _ in range(10)),
        hello + frame(0, 0, 0, b"data on stream 0"),
        hello + frame(0, 0, 7, b"data on an idle stream"),
        hello + frame(1, 4, 0, b"headers on stream 0"),
        hello + frame(1, 4, 1, b"\xff" * 400),
        hello + frame(9, 4, 1, b"a continuation of nothing"),
        hello + frame(5, 4, 1, b"\0\0\0\2a push by a client"),
        hello + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2,
        hello + frame(4, 0, 0, b"odd settings"[:7]),
        hello + frame(0, 0, 1, b"", length=(1 << 24) - 1) + b"\0" * 100_000,
        hello + frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"),
        hello + frame(4, 0, 0, b"\0\4\0\0\0\0") * 5_000,
        hello + frame(1, 0, 1, b"\0" * 16_000) + frame(9, 0, 1, b"\0" * 16_000) * 200,
        hello + frame(3, 0, 1, b"\0\0\0\0") * 1_000,
        hello + frame(6, 0, 0, os.urandom(8)) * 5_000,
    ]
