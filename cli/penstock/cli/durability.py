"""How durable a gateway says that it is, in words."""

__all__ = ["durability_text"]


def durability_text(asked: str | None, reached: str | None) -> str:
    """Return the level that is acknowledged, and what is reached where that is less.

    Args:
        asked: Name of the level that submits are acknowledged with; None is unknown.
        reached: Of what is written now; None is unknown.
    """
    if asked is None:
        return "unknown"
    if reached is None or reached == asked:
        return str(asked).lower()
    return (
        f"{str(asked).lower()}, but only {str(reached).lower()} is reached now: replicas do not "
        "confirm, so nothing is acknowledged"
    )
