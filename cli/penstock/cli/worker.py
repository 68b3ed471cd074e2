"""``penstock worker``: the handlers of an app, until it is told to stop."""

import logging
import os
import traceback
from typing import TYPE_CHECKING, Annotated, Final

import typer

from penstock.cli.faults import CommandError
from penstock.cli.lifeline import stop_with_parent
from penstock.cli.options import Json, LogFormat, LogLevel, RedisUrl, StopWithParent
from penstock.cli.output import emit, json_wanted
from penstock.cli.server import require_redis

if TYPE_CHECKING:
    from penstock.worker import Worker

__all__ = ["APP_HELP", "checked_app", "worker"]

APP_HELP: Final = (
    "Where the Worker is: module:variable, such as jobs:app; the current folder is searched."
)


# Longer than other functions: each option is a parameter, as typer has it.
def worker(
    app: Annotated[str, typer.Argument(metavar="MODULE:APP", help=APP_HELP)],
    *,
    queue: Annotated[
        list[str] | None,
        typer.Option("--queue", "-q", metavar="NAME", help="Serve this queue; may be repeated."),
    ] = None,
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, help="How many jobs a process runs at once.")
    ] = None,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", min=1, help="How many worker processes.")
    ] = None,
    tracebacks: Annotated[
        bool, typer.Option("--tracebacks", help="Log the traceback of each failed attempt.")
    ] = False,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    json: Json = False,
    with_parent: StopWithParent = False,
) -> None:
    """Run the handlers of an app.

    SIGTERM or Ctrl-C drains: no more jobs are taken, running ones may finish, the rest is
    handed back. All other settings are PENSTOCK_ variables, or stand in the file that
    PENSTOCK_CONFIG names.

    Example: penstock worker jobs:app --queue mail --queue default --slots 20 --processes 2
    """
    from penstock.runtime import configure_logging, run
    from penstock.worker import WorkerSettings, serve

    settings = WorkerSettings.load(
        queues=",".join(queue) if queue else None,
        slots=slots,
        processes=processes,
        redis_url=redis_url,
        log_level=log_level,
        log_format=log_format,
    )
    require_redis(settings.redis_url)
    configure_logging(settings.log_level, settings.log_format)
    if tracebacks:
        # Handlers fail as they like: their tracebacks are logged at a level that is seldom shown.
        logging.getLogger("penstock.worker.journal").setLevel(logging.DEBUG)
    found = checked_app(app)
    if json_wanted():
        emit(
            {
                "app": app,
                "pid": os.getpid(),
                "processes": settings.processes,
                "queues": list(settings.queues or found.queues),
                "slots": settings.slots or found.slots,
                "types": sorted(found.handlers),
            }
        )
    if with_parent:
        stop_with_parent()
    run(lambda: serve(app, settings), event_loop=settings.event_loop)


def checked_app(app: str) -> "Worker":
    """Import the app, here rather than in each process, so that its fault is told once.

    Raises:
        CommandError: Its module raised something, whose traceback was shown.
        WorkerFault: There is no such app.
    """
    from penstock.worker import WorkerFault, load_app

    try:
        return load_app(app)
    except WorkerFault:
        raise
    except Exception as error:
        traceback.print_exc()
        raise CommandError(
            f"{app} cannot be imported: {type(error).__name__}: {error}",
            "its traceback is above",
        ) from error
