"""A handler whose module ends the child process that imports it."""

import os

__all__ = ["DEADLY", "deadly"]

#: The variable that has it do so.
DEADLY = "TEST_DEADLY"

if DEADLY in os.environ:
    os._exit(3)


def deadly() -> None:
    """Is never run."""
