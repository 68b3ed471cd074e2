"""The event bus of a shop: events with priorities that survive whoever sends or hears them."""

__all__: list[str] = []
