"""What the sources of the standard library say about themselves: plain functions, no Penstock."""

from __future__ import annotations

import ast
import sysconfig
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["TOP_LEVEL", "Census", "docstrings", "files_of", "packages", "stdlib"]

TOP_LEVEL: Final = "(modules)"
"""The package name that stands for the modules that are in no package."""

# Sometimes split off by a distribution, so that figures would differ between machines.
_OPTIONAL: Final = frozenset(
    {
        "distutils",
        "ensurepip",
        "idlelib",
        "lib2to3",
        "site-packages",
        "test",
        "tkinter",
        "turtledemo",
    }
)


@dataclass(slots=True)
class Census:
    """The counts of one package.

    Attributes:
        files: Source files read.
        lines: Lines in them.
        functions: Definitions of functions and methods.
        classes: Definitions of classes.
        documented: Functions and classes with a docstring.
        longest: Name of the longest function, with its module.
        longest_lines: Its length in lines.
        imports: How often each top-level module is imported.
    """

    files: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    documented: int = 0
    longest: str = ""
    longest_lines: int = 0
    imports: Counter[str] = field(default_factory=Counter)

    def add(self, path: Path) -> None:
        """Count one source file; one that is no valid Python counts as a file of no lines."""
        self.files += 1
        try:
            text = path.read_text(encoding="utf-8")
            tree = ast.parse(text)
        except (SyntaxError, UnicodeDecodeError):
            return
        self.lines += text.count("\n")
        for node in ast.walk(tree):
            match node:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.functions += 1
                    self.documented += _has_docstring(node)
                    self._measure(node, path.stem)
                case ast.ClassDef():
                    self.classes += 1
                    self.documented += _has_docstring(node)
                case ast.Import(names=names):
                    self.imports.update({name.name.partition(".")[0] for name in names})
                case ast.ImportFrom(module=str(module), level=0):
                    self.imports[module.partition(".")[0]] += 1

    def _measure(self, node: ast.FunctionDef | ast.AsyncFunctionDef, module: str) -> None:
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > self.longest_lines:
            self.longest, self.longest_lines = f"{module}.{node.name}", length


def stdlib() -> Path:
    """Return the folder of this Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def packages() -> list[str]:
    """Return the names of the packages of the standard library, with TOP_LEVEL first."""
    found = (path.parent.name for path in stdlib().glob("*/__init__.py"))
    names = (name for name in found if name not in _OPTIONAL and not name.startswith("_"))
    return [TOP_LEVEL, *sorted(names)]


def files_of(package: str) -> list[Path]:
    """Return the source files of a package, by path.

    Raises:
        FileNotFoundError: There is no such package.
    """
    if package == TOP_LEVEL:
        return sorted(stdlib().glob("*.py"))
    folder = stdlib() / package
    if not (folder / "__init__.py").is_file():
        raise FileNotFoundError(f"the standard library has no package {package}")
    return sorted(folder.rglob("*.py"))


def docstrings(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the docstrings of modules, classes and functions, in the order of the sources."""
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    yield text


def _has_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return ast.get_docstring(node, clean=False) is not None
