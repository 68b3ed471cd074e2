"""What ``penstock dev`` shows: who says what, where things are, what to try."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.cli.options import DEFAULT_ADDRESS
from penstock.cli.output import emit, for_people, json_wanted
from penstock.cli.version import version_of
from penstock.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from penstock.cli.dev import DevPlan
    from penstock.runtime import LogFormat

__all__ = ["DevOutput", "Whereabouts"]

_COLOURS: Final = {"penstock": "1", "valkey": "35", "gateway": "36"}
_WORKER_COLOURS: Final = ("32", "33", "34", "92", "93", "94")
_WIDTH: Final = 9


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where everything is once it is up.

    Attributes:
        address: Of the gateway.
        redis_url: Of the server.
        data_dir: Of the embedded server; None if it is another.
        pids: Of the processes, by their names.
    """

    address: str
    redis_url: str
    data_dir: Path | None
    pids: Mapping[str, int | None]


class DevOutput:
    """The one who writes to this terminal."""

    def __init__(self) -> None:
        self._coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
        self._workers: list[str] = []

    def log_format(self, configured: LogFormat) -> LogFormat:
        """Return how the processes are to log: for people, unless something else was asked for."""
        return "console" if configured == "auto" else configured

    def line(self, name: str, text: str) -> None:
        """Show a line, marked with who said it."""
        mark = f"{name:<{_WIDTH}}|"
        if self._coloured:
            mark = f"\x1b[{self._colour(name)}m{mark}\x1b[0m"
        sys.stderr.write(f"{mark} {text}\n")
        sys.stderr.flush()

    def ready(self, plan: DevPlan, up: Whereabouts) -> None:
        """Show where everything is, and what to do next."""
        if json_wanted():
            emit(
                {
                    "address": up.address,
                    "app": plan.app,
                    "data_dir": None if up.data_dir is None else str(up.data_dir),
                    "pids": dict(up.pids),
                    "redis_url": redact(up.redis_url),
                    "workers": plan.workers,
                }
            )
            return
        url = redact(up.redis_url)
        console = for_people()
        version = version_of("penstock")
        console.print(f"\n[bold]penstock {version}[/] serves at [bold]{up.address}[/]")
        for text in (
            f"jobs are kept in {up.data_dir}" if up.data_dir else f"jobs are kept at {url}",
            f"{plan.workers} x {plan.app}"
            if plan.workers
            else "no worker: one elsewhere is "
            f"PENSTOCK_REDIS_URL='{url}' penstock worker MODULE:APP",
            *_next_steps(plan, up.address),
        ):
            console.print(f"  {text}", soft_wrap=True, markup=False)
        console.print("Ctrl-C drains and stops.\n")

    def draining(self) -> None:
        """Show that the end has begun."""
        self.line("penstock", "draining: running jobs may finish (Ctrl-C again ends them)")

    def stopped(self) -> None:
        """Show that all is stopped."""
        self.line("penstock", "stopped")

    def _colour(self, name: str) -> str:
        if name in _COLOURS:
            return _COLOURS[name]
        if name not in self._workers:
            self._workers.append(name)
        return _WORKER_COLOURS[self._workers.index(name) % len(_WORKER_COLOURS)]


def _next_steps(plan: DevPlan, address: str) -> list[str]:
    where = "" if address == DEFAULT_ADDRESS else f" --address {address}"
    submit = plan.first_submit or "penstock submit TYPE --watch"
    return [f"try: {submit}{where}", f"     penstock queues{where}"]
