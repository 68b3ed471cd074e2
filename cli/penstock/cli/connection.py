"""One call of a command: connect, do the work, close."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, TypeVar

from penstock.cli.faults import CallError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.client import AsyncClient

__all__ = ["with_client"]

Result = TypeVar("Result")

_CALL_S: Final = 8.0
"""For an answer: longer than the five seconds in which a gateway without its Redis says so."""

_RETRY_S: Final = 3.0
"""In which a call is repeated: enough for a gateway that restarts, not too much to look on."""


def with_client(address: str, work: Callable[[AsyncClient], Awaitable[Result]]) -> Result:
    """Run an async function with a client of the gateway at that address; return its result.

    Raises:
        CallError: The client raised something; it says at which address.
    """
    from penstock.client import AsyncClient, PenstockError

    async def main() -> Result:
        async with AsyncClient(address, timeout=_CALL_S, retry_for=_RETRY_S) as client:
            return await work(client)

    try:
        return asyncio.run(main())
    except PenstockError as error:
        raise CallError(address, error) from error
