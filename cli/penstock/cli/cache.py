"""``penstock cache``: forget cached results."""

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.connection import with_client
from penstock.cli.faults import CommandError
from penstock.cli.options import DEFAULT_ADDRESS, Address, Json
from penstock.cli.output import emit, emit_text, json_wanted
from penstock.cli.payloads import JSON_TYPE, read_payload

if TYPE_CHECKING:
    from penstock.client import AsyncClient

__all__ = ["cache"]

cache = typer.Typer(
    no_args_is_help=True,
    help="Forget cached results. (To submit with a cache: penstock submit --cache-ttl.)",
)


@cache.callback()
def _cache() -> None:
    """Keep `invalidate` a command of its own, although it is the only one."""


@cache.command("invalidate")
def invalidate(
    job_type: Annotated[
        str,
        typer.Argument(metavar="[TYPE]", help="All results of this job type, unless one is named."),
    ] = "",
    *,
    payload: Annotated[
        str | None,
        typer.Option(
            "--payload", "-p", metavar="JSON|@FILE|-", help="Only of the work with this payload."
        ),
    ] = None,
    key: Annotated[
        str, typer.Option("--key", metavar="KEY", help="Only of the work with this key.")
    ] = "",
    tags: Annotated[
        list[str] | None,
        typer.Option("--tag", metavar="TAG", help="All results with this tag; may be repeated."),
    ] = None,
    content_type: Annotated[
        str, typer.Option("--content-type", metavar="TYPE", help="Media type of the payload.")
    ] = JSON_TYPE,
    address: Address = DEFAULT_ADDRESS,
    json: Json = False,
) -> None:
    """Let no later submit be answered with what was submitted before, in any queue.

    All that is named is forgotten: with a TYPE and a --tag, the results of the type and those with
    the tag. Jobs under way go on for those who wait for them. Repeating it is safe.

    Example: penstock cache invalidate --tag room:7 --tag rooms

    Example: penstock cache invalidate report.build --payload '{"month": "2030-01"}'
    """
    if not job_type and (key or payload is not None):
        raise CommandError("--key and --payload are of a type", "give its TYPE, too")
    if not (job_type or tags):
        raise CommandError("nothing is named", "give a TYPE, a --tag, or several")
    if key and payload is not None:
        raise CommandError("--key and --payload exclude each other", "give one of them")
    data = read_payload(payload, content_type)

    async def work(client: "AsyncClient") -> None:
        await client.invalidate(
            job_type,
            ... if data is None else data,
            key=key,
            tags=tags or (),
            content_type=content_type,
        )

    with_client(address, work)
    if json_wanted():
        emit({"type": job_type or None, "key": key or None, "tags": tags or []})
    else:
        emit_text("invalidated")
