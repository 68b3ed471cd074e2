"""The program ``penstock``: its commands, and what its errors look like."""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Final

import typer

from penstock.cli.cache import cache
from penstock.cli.cancel import cancel
from penstock.cli.dev import dev
from penstock.cli.health import health
from penstock.cli.listing import list_jobs
from penstock.cli.output import emit_text, report, want_json
from penstock.cli.paragraphs import reflow
from penstock.cli.policy import policy
from penstock.cli.queues import queues
from penstock.cli.retry import retry
from penstock.cli.schedules import schedules
from penstock.cli.server import server
from penstock.cli.status import status
from penstock.cli.submit import submit
from penstock.cli.topic import topic
from penstock.cli.version import version, version_of
from penstock.cli.watch import watch
from penstock.cli.worker import worker

__all__ = ["app", "main"]

_EPILOG: Final = (
    "Exit codes: 0 done (and the job succeeded) · 1 the job did not succeed · 2 wrong arguments or "
    "settings · 3 gateway or Redis unreachable, try again · 4 refused, such as a bad payload or an "
    "unknown job · 5 --timeout passed · 130 Ctrl-C. PENSTOCK_DEBUG=1 shows where an error of "
    "penstock itself arose (handlers' tracebacks: penstock worker --tracebacks)."
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the flag.
    if wanted:
        emit_text(f"penstock {version_of('penstock')}")
        raise typer.Exit


app = typer.Typer(
    name="penstock",
    help="Submit jobs in one call, run them on a fleet of workers, watch them live, lose none.\n\n"
    "First minute: `penstock dev` here, and there "
    "`penstock submit countdown --payload '{\"start\": 20}' --watch`.",
    epilog=_EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_PANELS: Final[dict[str, dict[str, Callable[..., None]]]] = {
    "Run": {"dev": dev, "server": server, "worker": worker},
    "Jobs": {
        "submit": submit,
        "status": status,
        "watch": watch,
        "list": list_jobs,
        "cancel": cancel,
        "retry": retry,
    },
    "Operate": {"health": health, "version": version},
}
for _panel, _commands in _PANELS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command)
app.add_typer(schedules, name="schedule", rich_help_panel="Jobs")
app.add_typer(queues, name="queues", rich_help_panel="Operate")
app.add_typer(policy, name="policy", rich_help_panel="Operate")
app.add_typer(cache, name="cache", rich_help_panel="Operate")
app.add_typer(topic, name="topic", rich_help_panel="Jobs")
reflow(app)


@app.callback()
def _program(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line; every error leaves as an exit code and a line, none as a traceback."""
    # Wrong arguments are found before `--json` is read among them: it is looked for here.
    scripted = want_json("--json" in sys.argv[1:])
    try:
        sys.exit(app(prog_name="penstock", standalone_mode=not scripted))
    except Exception as error:
        from penstock.cli.faults import explain

        if os.environ.get("PENSTOCK_DEBUG"):
            raise
        fault = explain(error)
        report(fault)
        sys.exit(fault.code)
