"""Options that several commands share, each declared once."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Final, TypeVar

import typer

from penstock.cli import times
from penstock.cli.output import want_json

__all__ = [
    "DEFAULT_ADDRESS",
    "Address",
    "Json",
    "Listen",
    "LogFormat",
    "LogLevel",
    "RedisUrl",
    "StopWithParent",
    "Timeout",
    "duration",
    "moment",
    "not_empty",
]

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"

Value = TypeVar("Value")


def _parser(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Make of a reader, which raises ValueError, one whose complaint names the option."""

    def parse(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    return parse


def not_empty(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
    """Refuse a value that was given and is empty: unlike none, it would name nothing in silence.

    Raises:
        typer.BadParameter: It is.
    """
    source = context.get_parameter_source(option.name or "")
    if not value and source is not None and source.name != "DEFAULT":
        raise typer.BadParameter("it is empty: is a variable not set?")
    return value


duration: Final[Callable[[str], timedelta]] = _parser(times.duration)
moment: Final[Callable[[str], datetime]] = _parser(times.moment)

Address = Annotated[
    str,
    typer.Option(
        "--address",
        "-a",
        envvar="PENSTOCK_ADDRESS",
        metavar="HOST:PORT",
        help="Where the gateway listens.",
    ),
]

Json = Annotated[
    bool,
    typer.Option("--json", callback=want_json, help="Print JSON, one object a line, for scripts."),
]

Timeout = Annotated[
    timedelta | None,
    typer.Option(
        "--timeout",
        parser=duration,
        metavar="DURATION",
        help="Give up after this long (exit code 5). The job goes on.",
    ),
]

RedisUrl = Annotated[
    str | None,
    typer.Option(
        "--redis-url",
        metavar="URL",
        help="Redis or Valkey: redis://, rediss:// or unix://. Better set PENSTOCK_REDIS_URL "
        "where it holds a password: other users see command lines.",
    ),
]

Listen = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Where the gateway listens; port 0 finds a free one (default: PENSTOCK_LISTEN, "
        f"else {DEFAULT_ADDRESS}).",
    ),
]

LogLevel = Annotated[
    str | None,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        help="debug, info, warning or error (default: PENSTOCK_LOG_LEVEL, else info).",
    ),
]

LogFormat = Annotated[
    str | None,
    typer.Option(
        "--log-format",
        metavar="FORMAT",
        help="console, json or auto (default: PENSTOCK_LOG_FORMAT, else auto).",
    ),
]

StopWithParent = Annotated[
    bool,
    typer.Option(
        "--stop-with-parent",
        hidden=True,
        help="Stop when stdin is closed, as it is when whoever started this process is gone.",
    ),
]
