"""What came of a job, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from penstock.cli.tables import outcome

if TYPE_CHECKING:
    from penstock.client import Job

__all__ = ["summary"]

_CHARS: Final = 100


def summary(job: Job) -> str:
    """Return what came of a job: its result, each type's in its own words, or why it has none."""
    match job.result:
        case {"files": files, "lines": lines, "functions": functions, "longest": longest}:
            text = f"{files} files, {lines:,} lines, {functions:,} functions"
            text += f", longest {longest}" if longest else ""
        case {"files": files, "sha256": sha256, "resumed_at": resumed_at}:
            text = f"{sha256[:12]}… of {files} files, resumed at file {resumed_at}"
        case {"documents": count, "words": words, "broken": broken}:
            text = f"{count} documents, {words:,} words, {len(broken)} broken links"
        case None:
            text = outcome(job)
        case other:
            text = str(other)
    return text if len(text) <= _CHARS else f"{text[: _CHARS - 1]}…"
