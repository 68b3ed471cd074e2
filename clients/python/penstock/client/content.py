"""Payloads and results: values to bytes, and back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import pydantic
import pydantic_core

from penstock.client.errors import InvalidRequest, ResultMismatch, Status, Violation

if TYPE_CHECKING:
    from collections.abc import Hashable

T = TypeVar("T")

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes, and their media type ('' means application/json)."""

    data: bytes = b""
    content_type: str = ""

    @property
    def is_json(self) -> bool:
        """Whether the bytes are to be read as JSON."""
        return self.content_type.partition(";")[0].strip().lower() in {"", JSON}

    def decode(self) -> Any:  # noqa: ANN401 - JSON is whatever its writer wrote.
        """The value, if it is JSON, else the bytes.

        Raises:
            ResultMismatch: it is labelled JSON, and is none.
        """
        if not self.is_json:
            return self.data
        try:
            return pydantic_core.from_json(self.data)
        except ValueError as error:
            raise ResultMismatch(f"it is labelled JSON, and is none: {error}") from error

    def decode_as(self, wanted: type[T]) -> T:
        """The value, validated as a type that pydantic's TypeAdapter takes; bytes stay as they are.

        Raises:
            ResultMismatch: it is not of that type.
        """
        adapter = _adapter(cast("Hashable", wanted))
        try:
            value: T = (
                adapter.validate_json(self.data)
                if self.is_json
                else adapter.validate_python(self.data)
            )
        except pydantic.ValidationError as error:
            raise ResultMismatch(str(error)) from error
        return value


@lru_cache(maxsize=256)
def _adapter(wanted: Any) -> pydantic.TypeAdapter[Any]:  # noqa: ANN401 - any type expression.
    return pydantic.TypeAdapter(wanted)


def encode(payload: object, content_type: str | None = None) -> Content:
    """The content of a payload: bytes as they are, anything else as JSON.

    Args:
        payload: bytes, or what pydantic writes as JSON: plain values, models, dataclasses.
        content_type: of bytes; None is application/octet-stream.

    Raises:
        InvalidRequest: the payload cannot be written as JSON.
    """
    if isinstance(payload, bytes | bytearray | memoryview):
        return Content(bytes(payload), BINARY if content_type is None else content_type)
    content = Content(content_type=JSON if content_type is None else content_type)
    if not content.is_json:
        raise _refused(f"only bytes can be {content_type}, and it is {type(payload).__name__}")
    try:
        # NaN stays NaN, which the gateway refuses; the default would make it null unseen.
        data = pydantic_core.to_json(payload, inf_nan_mode="constants")
    except (ValueError, RecursionError) as error:
        raise _refused(f"it cannot be written as JSON: {error}") from error
    return Content(data, content.content_type)


def _refused(description: str) -> InvalidRequest:
    violation = Violation("job.payload", description)
    return InvalidRequest(Status("INVALID_ARGUMENT", str(violation), violations=(violation,)))
