"""One server, gateways, workers and clients as processes, with links between them that can fail."""

from __future__ import annotations

__all__ = ["World"]


class World:
    """All processes of a run."""
