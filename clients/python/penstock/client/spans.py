"""Lengths of time, as callers give them."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TypeAlias

#: A length of time: a timedelta, or seconds.
Span: TypeAlias = timedelta | float


def is_length(span: Span) -> bool:
    """Whether the wire can express it."""
    # Beyond that, a timedelta overflows; the gateway's own limits are far below.
    return isinstance(span, timedelta) or (math.isfinite(span) and abs(span) < 1e11)  # noqa: PLR2004 - said above.
