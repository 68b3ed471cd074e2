"""What the applications share when they are run end to end: processes, and a report."""

__all__: list[str] = []
