"""Help texts whose paragraphs fit the terminal, wherever their lines end in the source."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

__all__ = ["reflow"]


def reflow(app: typer.Typer) -> None:
    """Join the lines of each paragraph in the help of an app's commands, and of its groups'.

    typer wraps what it shows, and keeps the line breaks of the docstring besides: on a terminal
    that is narrower than the source, each line would end in a short one.
    """
    for command in app.registered_commands:
        text = command.help or inspect.getdoc(command.callback) or ""
        command.help = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            reflow(group.typer_instance)
