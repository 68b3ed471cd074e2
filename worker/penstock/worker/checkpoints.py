"""How a checkpoint is stored: a byte that says what it is, then raw bytes or JSON."""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import PydanticSerializationError, from_json, to_json

__all__ = ["decode", "encode"]

MAX_CHECKPOINT_BYTES: Final = 1024 * 1024
_RAW: Final = b"b"
_JSON: Final = b"j"


def encode(data: Any) -> bytes:  # noqa: ANN401 - bytes, or any JSON.
    """Bytes as they are, all else as JSON.

    Raises:
        ValueError: it has no JSON form, or is longer than 1 MiB.
    """
    if isinstance(data, bytes):
        stored = _RAW + data
    else:
        try:
            stored = _JSON + to_json(data)
        except (PydanticSerializationError, RecursionError) as error:
            raise ValueError(f"a checkpoint is bytes or JSON: {error}") from error
    if len(stored) > MAX_CHECKPOINT_BYTES:
        raise ValueError(f"a checkpoint has at most {MAX_CHECKPOINT_BYTES:,} bytes")
    return stored


def decode(stored: bytes | None) -> Any:  # noqa: ANN401 - whatever was saved.
    """What was saved. None if nothing was, or in a form that this version does not know."""
    if not stored:
        return None
    if stored[:1] == _RAW:
        return stored[1:]
    if stored[:1] == _JSON:
        return from_json(stored[1:])
    return None
