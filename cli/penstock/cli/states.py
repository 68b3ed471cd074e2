"""The states of a job, as they are shown and as they are typed."""

from enum import StrEnum
from typing import Final

__all__ = ["STYLES", "StateName"]


class StateName(StrEnum):
    """The states, for an option that takes one."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


STYLES: Final = {
    "SCHEDULED": "yellow",
    "QUEUED": "cyan",
    "RUNNING": "blue",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "EXPIRED": "magenta",
}
"""How a state is coloured, by its name."""
