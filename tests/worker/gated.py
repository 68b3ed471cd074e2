"""A handler whose module a child process imports only once a file is there."""

import os
from pathlib import Path

from tests.support.waiting import wait_until

__all__ = ["GATE", "gated"]

#: The variable that names the file; without it nothing is waited for.
GATE = "TEST_GATE"

if GATE in os.environ:
    wait_until(Path(os.environ[GATE]).exists, "the gate is open", within_s=600)


def gated() -> str:
    return "through"
