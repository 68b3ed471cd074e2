"""Writes docs/configuration.md from the settings themselves; run by ``make docs``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import BrokerSettings
from penstock.runtime import RedisSettings, Settings
from penstock.server import ServerSettings
from penstock.worker import WorkerSettings

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

PAGE: Final = Path(__file__).resolve().parent.parent / "docs/configuration.md"

_SECTIONS: Final[tuple[tuple[str, str, type[Settings], type[Settings] | None], ...]] = (
    ("Every process", "", RedisSettings, None),
    (
        "Gateways and workers",
        "Set them alike for all of a namespace.",
        BrokerSettings,
        RedisSettings,
    ),
    ("Gateways", "Table `[server]` of the file.", ServerSettings, BrokerSettings),
    ("Workers", "Table `[worker]` of the file.", WorkerSettings, BrokerSettings),
)

_HEAD: Final = """\
# Configuration

`make docs` writes this page from the settings themselves; a test compares.

Flags come before the environment, that before the TOML file named by `PENSTOCK_CONFIG`, that
before defaults. In the file a setting has the name below in lower case, without `PENSTOCK_`. A name
in the file that is not known, or a value that does not fit, is an error at start, which names it.
"""


def page() -> str:
    """The text of the page."""
    parts = [_HEAD]
    for title, note, settings, base in _SECTIONS:
        known = set(base.model_fields) if base else set()
        rows = [
            _row(name, field) for name, field in settings.model_fields.items() if name not in known
        ]
        intro = f"{note}\n\n" if note else ""
        table = "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])
        parts.append(f"## {title}\n\n{intro}{table}\n")
    return "\n".join(parts)


def _row(name: str, field: FieldInfo) -> str:
    meaning = " ".join((field.description or "").split())
    return f"| `PENSTOCK_{name.upper()}` | {_shown(name, field)} | {meaning} |"


def _shown(name: str, field: FieldInfo) -> str:
    if name == "data_dir":
        return "the user's data folder"  # Not a path of the machine that wrote the page.
    default: Any = field.default
    if default in {None, ()}:
        return ""
    if isinstance(default, bool):
        return "`true`" if default else "`false`"
    return f"`{default}`"


if __name__ == "__main__":
    PAGE.write_text(page())
