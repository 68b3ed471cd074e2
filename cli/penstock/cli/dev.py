"""``penstock dev``: everything in one terminal, and nothing lost between two runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from penstock.cli.options import Json, Listen, LogFormat, LogLevel, RedisUrl
from penstock.cli.worker import APP_HELP

__all__ = ["PLAYGROUND", "DevPlan", "dev"]

PLAYGROUND: Final = "penstock.cli.playground:app"


@dataclass(frozen=True, slots=True, kw_only=True)
class DevPlan:
    """What is to be run.

    Attributes:
        app: module:variable of the Worker.
        workers: How many worker processes.
        queues: That they serve; none is the app's own.
        worker_options: Their further arguments.
        listen: Where the gateway is to listen; None is its default.
        data_dir: Of the embedded server; None is the platform's.
        redis_url: A server to use instead; None for what the settings say.
        log_level: Of all processes; None for what the settings say.
        log_format: Likewise.
        first_submit: A command to begin with.
    """

    app: str
    workers: int
    queues: tuple[str, ...]
    worker_options: tuple[str, ...]
    listen: str | None
    data_dir: Path | None
    redis_url: str | None
    log_level: str | None
    log_format: str | None
    first_submit: str = ""


# Longer than other functions: each option is a parameter, as typer has it.
def dev(
    app: Annotated[
        str,
        typer.Argument(
            metavar="[MODULE:APP]",
            help=f"{APP_HELP} Not given: a playground with the job types echo, countdown, flaky.",
            show_default=False,
        ),
    ] = PLAYGROUND,
    *,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, help="How many worker processes.")
    ] = 1,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", metavar="NAME", help="Serve this queue; may be repeated."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, help="How many jobs a process runs at once.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="FOLDER",
            help="Where jobs are kept (default: PENSTOCK_DATA_DIR, else the platform's folder).",
        ),
    ] = None,
    listen: Listen = None,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    json: Json = False,
) -> None:
    """Run everything in this terminal: a server, a gateway, workers.

    Ctrl-C drains and stops them. Where no Redis address is configured, a Valkey of its own is
    started. It keeps every job in the data folder, so that they are all there at the next
    start.

    Example: penstock dev jobs:app --workers 2
    """
    from penstock.cli.dev_stack import run_dev

    options = [part for name in queue or [] for part in ("--queue", name)]
    options += ["--slots", str(slots)] if slots else []
    run_dev(
        DevPlan(
            app=app,
            workers=workers,
            queues=tuple(queue or ()),
            worker_options=tuple(options),
            listen=listen,
            data_dir=data_dir,
            redis_url=redis_url,
            log_level=log_level,
            log_format=log_format,
        )
    )
