"""Nothing that is committed tells on the machine that it was written on."""

from pathlib import Path

import pytest

FORBIDDEN = [
    ("/work/", "a path of one machine"),
    ("/root/", "a path of one machine"),
    ("/opt/pypi", "a path of one machine"),
    ("/opt/wheels", "a path of one machine"),
    ("../shared", "a folder outside the checkout"),
    ("pypi.org", "a registry's address"),
    ("pythonhosted.org", "a registry's address"),
    ("npmjs.org", "a registry's address"),
    ("--index-url", "a registry's address"),
    ("TODO", "work that is not done"),
    ("FIXME", "work that is not done"),
]


def texts(files: list[Path]) -> list[tuple[Path, str]]:
    """Every file but this one and those that are no text."""
    found = []
    for path in files:
        if path == Path(__file__):
            continue
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize(("forbidden", "why"), FORBIDDEN)
def test_a_string_is_nowhere(forbidden: str, why: str, root: Path, files: list[Path]) -> None:
    holders = [str(path.relative_to(root)) for path, text in texts(files) if forbidden in text]
    assert not holders, f"{forbidden!r} ({why}) is in {', '.join(holders)}"


def test_text_files_end_with_one_newline(root: Path, files: list[Path]) -> None:
    wrong = [
        str(path.relative_to(root))
        for path, text in texts(files)
        if text and (not text.endswith("\n") or text.endswith("\n\n")) and "gen" not in path.parts
    ]
    assert not wrong
