"""What INFO tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["history_of", "parse_info"]


def parse_info(reply: bytes) -> dict[str, str]:
    """A section of INFO by field."""
    lines = (line.partition(":") for line in reply.decode().splitlines() if ":" in line)
    return {name: value for name, _, value in lines}


def history_of(info: Mapping[str, str]) -> str:
    """What names a server's process and the history of its data (sections server, replication).

    It is another one after a restart, a failover, or when a replica took over.
    """
    return f"{info.get('run_id', '')} {info.get('master_replid', '')}"
