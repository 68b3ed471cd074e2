"""Payloads as they are given on a command line: JSON, from a file, or from stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from penstock.cli.faults import CommandError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["JSON_TYPE", "payload_of", "read_json_lines", "read_payload"]

JSON_TYPE: Final = "application/json"
_STDIN: Final = "-"
_NO_PAYLOAD: Final = b"{}"
"""What a handler accepts that has a default for all it takes."""


def read_payload(given: str | None, content_type: str) -> bytes | None:
    """Return the payload that ``--payload`` names.

    Args:
        given: JSON as it is; ``@FILE`` for a file's content; ``-`` for stdin; None for none.
        content_type: Of the payload. JSON is checked here, so that a slip of the keyboard is
            shown with its position; anything else is passed on as it is.

    Raises:
        CommandError: The file cannot be read, or the JSON is none.
    """
    if given is None:
        return None
    if given == _STDIN:
        data, source = sys.stdin.buffer.read(), "stdin"
    elif given.startswith("@"):
        source = given[1:]
        data = _content(Path(source))
    else:
        data, source = given.encode(), "--payload"
    if content_type == JSON_TYPE:
        _check_json(data, source)
    return data


def payload_of(given: str | None, content_type: str) -> bytes:
    """Return the payload of a job or message: as `read_payload`, or what stands for none."""
    data = read_payload(given, content_type)
    if data is not None:
        return data
    return _NO_PAYLOAD if content_type == JSON_TYPE else b""


def read_json_lines(source: str) -> Iterator[tuple[int, bytes]]:
    """Yield the payloads of a JSON Lines file, each with its line's number; not the empty lines.

    Args:
        source: Its path; ``-`` for stdin.

    Raises:
        CommandError: It cannot be read, or a line is no JSON; the message names the line.
    """
    data = sys.stdin.buffer.read() if source == _STDIN else _content(Path(source))
    for number, line in enumerate(data.splitlines(), start=1):
        if line.strip():
            _check_json(line, f"{source}, line {number}")
            yield number, line


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error


def _check_json(data: bytes, source: str) -> None:
    try:
        json.loads(data)
    except UnicodeDecodeError as error:
        raise CommandError(f"{source} is not UTF-8: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise CommandError(
            f"{source} is no JSON: {error.msg} at line {error.lineno}, column {error.colno}",
            'quote it for the shell: --payload \'{"key": "value"}\'; or give --payload @FILE',
        ) from error
    except RecursionError:
        raise CommandError(f"{source} is nested too deeply") from None
