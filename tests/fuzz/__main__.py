"""``python -m tests.fuzz --minutes 60``: requests by chance against a gateway; see `target`."""

from __future__ import annotations

import asyncio
import secrets
from pathlib import Path  # noqa: TC003 - typer reads it when it runs.
from typing import Annotated

import rich
import typer

from penstock.runtime.embedded import EmbeddedServer, find_binary
from tests.fuzz.siege import Siege
from tests.support.onlookers import Onlookers


def main(
    minutes: Annotated[float, typer.Option(help="how long")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="repeats a run")] = None,
    server: Annotated[Path | None, typer.Option(help="the server program; Valkey if none")] = None,
    out: Annotated[Path | None, typer.Option(help="where the figures go, as JSON")] = None,
) -> None:
    """Fires requests at a gateway, and fails if it does not take one of them as it should."""
    siege = Siege(secrets.randbelow(2**32) if seed is None else seed)
    console = rich.get_console()
    with (
        EmbeddedServer(binary=server or find_binary()) as running,
        Onlookers(console, "fuzz") as onlookers,
    ):
        asyncio.run(siege.run(running, seconds=minutes * 60, say=onlookers.tell))
    console.print(str(siege), soft_wrap=True)
    for finding in siege.findings:
        console.print(str(finding), style="red", markup=False)
    if out is not None:
        out.write_text(siege.as_json() + "\n")
    raise typer.Exit(1 if siege.findings else 0)


typer.run(main)
