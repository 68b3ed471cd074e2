"""A first submit that works for the app at hand."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.worker import Worker

__all__ = ["first_submit"]

_SAMPLES: Final[Mapping[str, Any]] = {
    "array": [],
    "boolean": True,
    "integer": 1,
    "number": 1.0,
    "object": {},
    "string": "text",
}


def first_submit(app: Worker, queues: Sequence[str]) -> str:
    """Return a command that submits a job which the workers of an app run.

    Args:
        app: Of the workers.
        queues: That they serve; empty for the app's own.
    """
    served = tuple(queues) or app.queues
    queue = "" if "default" in served else f" -q {served[0]}"
    for name in sorted(app.handlers):
        payload = _payload(app, name)
        if payload is not None:
            given = f" --payload {shlex.quote(payload)}" if payload else ""
            return f"penstock submit {name}{queue}{given} --watch"
    name = min(app.handlers, default="TYPE")
    return f"penstock submit {name}{queue} --payload '...' --watch"


def _payload(app: Worker, name: str) -> str | None:
    """Return a payload that a handler takes; '' if none is needed, None if none was found."""
    codec = app.handlers[name].payload
    if codec.adapter is None:
        return ""
    schema = codec.schema
    properties = schema.get("properties", {})
    required = {
        field: _SAMPLES.get(properties.get(field, {}).get("type"))
        for field in schema.get("required", ())
    }
    for sample in ({}, required, _SAMPLES.get(schema.get("type", ""))):
        text = json.dumps(sample)
        try:
            codec.adapter.validate_json(text)
        except ValidationError:
            continue
        return "" if sample == {} else text
    return None
