"""`python -m tests.simulation`: lives by the thousand, each by its seed."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from pathlib import Path  # noqa: TC003 - typer reads annotations.
from typing import Annotated

import typer
from rich.console import Console

from penstock.runtime.embedded import EmbeddedServer
from tests.simulation.life import live

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
_out = Console(highlight=False)


@app.command()
def run(
    lives: Annotated[int, typer.Option(help="How many lives.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the first; the others follow.")] = 0,
    server: Annotated[Path | None, typer.Option(help="Binary of Valkey or Redis.")] = None,
    go_on: Annotated[bool, typer.Option(help="Do not stop at the first violation.")] = False,  # noqa: FBT002 - typer reads the default.
    account: Annotated[bool, typer.Option(help="Tell the last commands before it.")] = True,  # noqa: FBT002 - as above.
) -> None:
    """Lives random lives of a service: the product's parts on a real server, in virtual time."""
    began_s = time.monotonic()
    steps, seconds, jobs, bad = 0, 0.0, 0, 0
    scripts: Counter[str] = Counter()
    troubles: Counter[str] = Counter()
    done = 0
    with EmbeddedServer(binary=server, options={"save": ""}) as embedded:
        for number in range(seed, seed + lives):
            ending = live(embedded.socket_path, number)
            done += 1
            steps += ending.steps
            seconds += ending.seconds
            jobs += ending.jobs
            scripts += ending.scripts
            troubles += ending.troubles
            for violation in ending.violations[: None if go_on else 1]:
                bad += 1
                _out.print(
                    f"seed {number}: {violation.invariant}: {violation.text}",
                    markup=False,
                    soft_wrap=True,
                )
                for line in violation.witness if account else ():
                    _out.print(f"    {line}", markup=False, soft_wrap=True)
            if ending.violations and not go_on:
                break
    took_s = time.monotonic() - began_s
    _out.print(
        f"{done} lives of {seconds / max(done, 1):.0f} s with {jobs} jobs: {steps} commands in "
        f"{took_s:.1f} s ({steps / took_s:.0f}/s, {60 * done / took_s:.0f} lives a minute)",
        f"scripts: {dict(scripts.most_common())}",
        f"troubles: {dict(troubles.most_common())}",
        f"violations: {bad}",
        sep="\n",
        markup=False,
        soft_wrap=True,
    )
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of sets is a part of what a seed decides.
        command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - ourselves.
    app()
