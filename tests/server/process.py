"""A gateway as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["gateway_process"]

#: No setting of whoever runs the tests, but the programs and the code under test.
_KEPT: Final = {"PATH", "PYTHONPATH"}


@contextlib.asynccontextmanager
async def gateway_process(**environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway in a process of its own, killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "penstock.server",
        env={**{name: os.environ[name] for name in _KEPT & os.environ.keys()}, **environment},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if process.stderr is not None:
            await process.stderr.read()  # To its end: that of the last process that it started.
