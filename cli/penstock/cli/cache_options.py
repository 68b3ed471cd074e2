"""Options that say whether a job may be answered with the result of an equal one."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.faults import CommandError
from penstock.cli.groups import Options
from penstock.cli.options import duration, not_empty

if TYPE_CHECKING:
    from penstock.client import CachePolicy

__all__ = ["CacheOptions"]

_CACHE = "Whether it runs at all"


class CacheOptions(Options):
    """The cache policy of a submit."""

    cache_ttl: Annotated[
        timedelta | None,
        typer.Option(
            "--cache-ttl",
            parser=duration,
            metavar="DURATION",
            help="Take the result of an equal job that is under way, or not older than this.",
            rich_help_panel=_CACHE,
        ),
    ] = None
    cache_key: Annotated[
        str,
        typer.Option(
            "--cache-key",
            callback=not_empty,
            metavar="KEY",
            help="What makes jobs of a type equal (default: their payload).",
            rich_help_panel=_CACHE,
        ),
    ] = ""
    cache_tag: Annotated[
        list[str] | None,
        typer.Option(
            "--cache-tag",
            metavar="TAG",
            help="By which the result can be invalidated; may be repeated.",
            rich_help_panel=_CACHE,
        ),
    ] = None
    skip_cache: Annotated[
        bool,
        typer.Option(
            "--skip-cache",
            help="Run all the same, and replace what is cached.",
            rich_help_panel=_CACHE,
        ),
    ] = False
    do_not_cache: Annotated[
        bool,
        typer.Option(
            "--do-not-cache",
            help="Keep no result of this job for others.",
            rich_help_panel=_CACHE,
        ),
    ] = False

    @property
    def policy(self) -> "CachePolicy | None":
        """As the client takes it; None is no cache.

        Raises:
            CommandError: There is none, and more is said of it.
        """
        from penstock.client import CachePolicy

        if self.cache_ttl is not None:
            return CachePolicy(
                self.cache_ttl,
                self.cache_key,
                self.cache_tag or (),
                self.skip_cache,
                self.do_not_cache,
            )
        if self.cache_key or self.cache_tag or self.skip_cache or self.do_not_cache:
            raise CommandError(
                "without --cache-ttl, there is no cache", "add --cache-ttl, such as 5m"
            )
        return None
