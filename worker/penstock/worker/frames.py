"""What a worker and a handler's child process say to each other, over a socket pair.

A frame is two lengths (4 bytes each: of the header, of the body), a header in JSON, and a body of
raw bytes. Nothing is pickled: a payload stays bytes until the handler's own type has validated it.

=========== ============================================================================
to the child
----------------------------------------------------------------------------------------
setup       sys_path, log_level, log_format: comes first
load        name, target: of a handler to import before its first job
run         name, target, facts, content_type, draining; body: payload, then checkpoint
stop        reason
drain       the worker is being shut down
done        call; error and message, if the call failed: answers emit, checkpoint, invalidate
----------- ----------------------------------------------------------------------------
to the worker
----------------------------------------------------------------------------------------
up          it has started: answers setup
ready       it has tried to import what it was told to: answers load
begun       the job of the last run is taken on: all that follows is of it
progress    current, total, message
log         level, message
emit        call; body: the chunk
checkpoint  call; body: the data
invalidate  call; body: JSON of (type, key, tag) of each target
result      content_type; body: the result
raised      error, message, trace, after_s: what came out of the handler instead
=========== ============================================================================
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

__all__ = ["Frame", "pack", "read_frame"]

_LENGTHS: Final = struct.Struct("!II")


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    kind: str
    fields: Mapping[str, Any]
    body: bytes


def pack(kind: str, body: bytes = b"", **fields: Any) -> bytes:  # noqa: ANN401 - any JSON.
    """The bytes of a message."""
    header = json.dumps([kind, fields], separators=(",", ":")).encode()
    return b"".join((_LENGTHS.pack(len(header), len(body)), header, body))


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next message. Raises EOFError once the other side is gone."""
    try:
        header_length, body_length = _LENGTHS.unpack(await reader.readexactly(_LENGTHS.size))
        kind, fields = json.loads(await reader.readexactly(header_length))
        return Frame(kind, fields, await reader.readexactly(body_length))
    except ConnectionError as error:
        raise EOFError from error
