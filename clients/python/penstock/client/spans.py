"""Lengths of time, as callers give them."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

#: A length of time: a timedelta, or seconds.
Span: TypeAlias = timedelta | float
