"""The schemas of topic rules, compiled."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from jsonschema_rs import RegexOptions, ValidationError, Validator, validator_for
from pydantic_core import from_json

from penstock.server.payloads import judge

__all__ = ["MAX_SCHEMA_BYTES", "fault_of_schema", "validator_of"]

MAX_SCHEMA_BYTES: Final = 65_536
#: More than there are rules.
_KEPT: Final = 1_024


@lru_cache(maxsize=_KEPT)
def validator_of(schema: str) -> Validator:
    """A validator that fetches nothing, and whose patterns take linear time.

    Raises:
        ValueError: the schema cannot be used; its text says why.
    """
    data = schema.encode()
    unsound = judge("", data, ())
    if unsound:
        raise ValueError(unsound[0][1])
    value = from_json(data)
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - of a text that callers wrote.
    try:
        return validator_for(value, pattern_options=RegexOptions(), offline=True)
    except ValidationError as error:
        raise ValueError(error.message) from error


def fault_of_schema(schema: str) -> str | None:
    """What keeps a schema from being used; None if nothing does."""
    try:
        validator_of(schema)
    except ValueError as error:
        return str(error)
    return None
