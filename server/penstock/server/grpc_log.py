"""What gRPC logs as an error, and is none: clients that leave.

Where a caller is gone before its answer is written, gRPC fails to write it, and logs a traceback
for each. Any client could fill the logs with them.
"""

from __future__ import annotations

import logging
from typing import Final

__all__ = ["hush_departures"]

_LOGGER: Final = "grpc._cython.cygrpc"
_DEPARTURE: Final = "ExecuteBatchError raised in core"


def hush_departures() -> None:
    """Drops what is logged of callers who left. Idempotent."""
    logging.getLogger(_LOGGER).addFilter(_is_no_departure)


def _is_no_departure(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_DEPARTURE)
