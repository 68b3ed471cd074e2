"""What JSON a payload may be: strict, in UTF-8, of bounded depth, and valid for its type."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jsonschema_rs import ValidationError, Validator

__all__ = ["is_json", "judge"]

MAX_DEPTH: Final = 64
#: Most violations that are reported of one payload.
MAX_VIOLATIONS: Final = 20

_JSON = re.compile(r"application/json *(?:;.*)?", re.IGNORECASE)
# Possessive, and with its end optional: linear whatever it is given.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
#: Both kinds of brackets as one, and all else taken out.
_AS_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def is_json(content_type: str) -> bool:
    """Whether a payload of this media type is looked into; any other is opaque."""
    return not content_type or _JSON.fullmatch(content_type) is not None


def judge(path: str, data: bytes, validators: Sequence[Validator]) -> list[tuple[str, str]]:
    """What is wrong with a JSON payload: violations, none if any of the validators accepts it.

    The parser is the one that workers read payloads with, so both understand the same by it; of a
    key given twice, the last counts in both. With no validators, any strict JSON will do.

    Args:
        path: of the payload's data within the request.
        data: the payload.
        validators: of the live versions of the type's schema.
    """
    try:
        value = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        return [(path, f"it is not JSON that can be read: {error}")]
    if _is_too_deep(data):
        return [(path, f"it is nested more than {MAX_DEPTH} levels deep")]
    for validator in validators:
        if validator.is_valid(value):
            return []
    if not validators:
        return []
    # The version with the least to object to is the one that was most likely meant.
    return min((_violations(path, value, validator) for validator in validators), key=len)


def _violations(path: str, value: Any, validator: Validator) -> list[tuple[str, str]]:  # noqa: ANN401 - any JSON value.
    found = []
    for error in validator.iter_errors(value):
        found.append((path + _pointer(error), error.message))
        if len(found) == MAX_VIOLATIONS:
            break
    return found


def _pointer(error: ValidationError) -> str:
    """Where in the payload, as a JSON pointer (RFC 6901)."""
    return "".join(
        "/" + str(step).replace("~", "~0").replace("/", "~1") for step in error.instance_path
    )


def _is_too_deep(data: bytes) -> bool:
    """Whether JSON, known to be sound, is nested too deep."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _STRING.sub(b"", data).translate(_AS_SQUARE, _NO_BRACKETS)
    # Each round takes off the innermost level, at the speed of C.
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
