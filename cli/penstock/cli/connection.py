"""One call of a command: connect, do the work, close."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Final, TypeVar

from penstock.cli.faults import CallError, CommandError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.client import AsyncClient

__all__ = ["check_address", "with_client"]

Result = TypeVar("Result")

_HAS_PORT: Final = re.compile(r".:\d+$")

_CALL_S: Final = 8.0
"""For an answer: longer than the five seconds in which a gateway without its Redis says so."""

_RETRY_S: Final = 3.0
"""In which a call is repeated: enough for a gateway that restarts, not too much to look on."""


def check_address(address: str) -> None:
    """Refuse an address without a port, and a web address, which gRPC would look up in vain.

    Raises:
        CommandError: It is malformed; it says what the form is.
    """
    target = address.rpartition("/")[2] if address.startswith(("dns:", "ipv")) else address
    if address.startswith("unix:") or ("://" not in target and _HAS_PORT.search(target)):
        return
    raise CommandError(f"{address} is no address of a gateway", "write it as HOST:PORT")


def with_client(address: str, work: Callable[[AsyncClient], Awaitable[Result]]) -> Result:
    """Run an async function with a client of the gateway at that address; return its result.

    Raises:
        CommandError: The address is malformed.
        CallError: The client raised something; it says at which address.
    """
    from penstock.client import AsyncClient, PenstockError

    check_address(address)

    async def main() -> Result:
        async with AsyncClient(address, timeout=_CALL_S, retry_for=_RETRY_S) as client:
            return await work(client)

    try:
        return asyncio.run(main())
    except PenstockError as error:
        raise CallError(address, error) from error
