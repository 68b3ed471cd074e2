"""Nothing that is committed tells on the machine that it was written on."""

import re
from pathlib import Path

import pytest

#: Patterns, so that this list itself holds none of what it forbids.
FORBIDDEN = [
    (r"/(?:work|root)/", "a path of one machine"),
    (r"/opt/(?:pypi|wheels)", "a path of one machine"),
    (r"\.\./share[d]", "a folder outside the checkout"),
    (r"pypi[.]org", "a registry's address"),
    (r"pythonhosted[.]org", "a registry's address"),
    (r"npmjs[.]org", "a registry's address"),
    (r"-{2}index-url", "a registry's address"),
    (r"TOD[O]", "work that is not done"),
    (r"FIXM[E]", "work that is not done"),
]


def texts(files: list[Path]) -> list[tuple[Path, str]]:
    """Every file but those that are no text."""
    found = []
    for path in files:
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize(("forbidden", "why"), FORBIDDEN)
def test_a_string_is_nowhere(forbidden: str, why: str, root: Path, files: list[Path]) -> None:
    pattern = re.compile(forbidden)
    holders = [str(path.relative_to(root)) for path, text in texts(files) if pattern.search(text)]
    assert not holders, f"{forbidden!r} ({why}) is in {', '.join(holders)}"


def test_text_files_end_with_one_newline(root: Path, files: list[Path]) -> None:
    wrong = [
        str(path.relative_to(root))
        for path, text in texts(files)
        if text and (not text.endswith("\n") or text.endswith("\n\n")) and "gen" not in path.parts
    ]
    assert not wrong
