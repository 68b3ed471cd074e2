"""``penstock server``: a gateway, until it is told to stop."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.faults import CommandError
from penstock.cli.lifeline import stop_with_parent
from penstock.cli.options import (
    Json,
    Listen,
    LogFormat,
    LogLevel,
    RedisUrl,
    StopWithParent,
)
from penstock.cli.output import emit, json_wanted

if TYPE_CHECKING:
    from penstock.server import ServerSettings

__all__ = ["require_redis", "server"]


def server(
    *,
    listen: Listen = None,
    processes: Annotated[
        int | None, typer.Option("--processes", "-p", min=1, help="How many gateway processes.")
    ] = None,
    redis_url: RedisUrl = None,
    log_level: LogLevel = None,
    log_format: LogFormat = None,
    json: Json = False,
    with_parent: StopWithParent = False,
) -> None:
    """Run a gateway.

    SIGTERM or Ctrl-C ends its streams with a cursor, lets calls finish, and stops. It needs
    Redis 7.0 or Valkey 7.2, or newer. All other settings are PENSTOCK_ variables, or stand in
    the TOML file that PENSTOCK_CONFIG names.

    Example: PENSTOCK_REDIS_URL=redis://127.0.0.1:6379/0 penstock server --listen 0.0.0.0:50051
    """
    from penstock.runtime import configure_logging, run
    from penstock.server import ServerSettings

    settings = ServerSettings.load(
        listen=listen,
        processes=processes,
        redis_url=redis_url,
        log_level=log_level,
        log_format=log_format,
    )
    require_redis(settings.redis_url)
    configure_logging(settings.log_level, settings.log_format)
    if with_parent:
        stop_with_parent()
    run(lambda: _serve(settings), event_loop=settings.event_loop)


async def _serve(settings: "ServerSettings") -> None:
    from penstock.runtime import stop_signals
    from penstock.server import gateway_of

    async with stop_signals() as stopping, gateway_of(settings) as gateway:
        if json_wanted():
            emit(
                {
                    "address": gateway.address,
                    "pid": os.getpid(),
                    "processes": settings.processes,
                }
            )
        await stopping.wait()


def require_redis(url: Any) -> None:  # noqa: ANN401 - a SecretStr: pydantic is loaded late.
    """Refuse to go on without an address of Redis.

    Raises:
        CommandError: There is none; it says how to give one.
    """
    if url is None:
        raise CommandError(
            "no Redis address is configured",
            "set PENSTOCK_REDIS_URL=redis://127.0.0.1:6379/0 (or REDIS_URL), or run "
            "`penstock dev`, which brings its own server",
        )
