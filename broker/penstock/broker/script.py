"""The Lua scripts: loading them from `scripts/`, and running them by their digest.

A script is a file `NAME.lua`: a `#!lua` line, which makes the server refuse keys of another slot; a
header comment, its contract; and code. A line `--#include lib/NAME.lua` is replaced by that file,
each file once. Redis sees the assembled text, whose SHA-1 is the script's name there.
"""

from __future__ import annotations

import asyncio
import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from penstock.broker.errors import PenstockError, ReplyError

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Generator, Sequence
    from importlib.resources.abc import Traversable

    from penstock.broker.pipeline import Arg, Caller, Reply

_SHEBANG: Final = "#!lua"
_INCLUDE: Final = "--#include "
_SUFFIX: Final = ".lua"


class ScriptError(PenstockError):
    """A script's text is at fault: it, or a file that it includes, is missing or malformed."""


class Script:
    """A script, as text and as the digest that Redis knows it by.

    Attributes:
        name: of its file, without the suffix.
        source: the assembled text.
        sha1: its digest, 40 hexadecimal digits.
    """

    __slots__ = ("name", "sha1", "source")

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        # How Redis names scripts; nothing is secured by it.
        self.sha1 = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest().encode()

    def run(self, link: Caller, keys: Sequence[bytes], args: Sequence[Arg]) -> ScriptCall:
        """Issues the script at once; awaiting the result gives its reply.

        Args:
            link: what to issue it through.
            keys: KEYS, all of one slot.
            args: ARGV.

        Raises, when awaited: what `Pipeline.call` raises.
        """
        return ScriptCall(
            self, link, keys, args, link.call(b"EVALSHA", self.sha1, len(keys), *keys, *args)
        )

    def __repr__(self) -> str:
        return f"Script({self.name!r})"


class ScriptCall:
    """A script under way. Await it once.

    It adds nothing to the future of its EVALSHA until that fails with NOSCRIPT: the server has
    restarted, failed over or been flushed. Nothing was executed then, so the script is sent once
    more, as text, which also loads it.
    """

    __slots__ = ("_args", "_future", "_keys", "_link", "_script")

    def __init__(
        self,
        script: Script,
        link: Caller,
        keys: Sequence[bytes],
        args: Sequence[Arg],
        future: Future[Reply],
    ) -> None:
        self._script = script
        self._link = link
        self._keys = keys
        self._args = args
        self._future = future

    def __await__(self) -> Generator[object, None, Reply]:
        try:
            return (yield from self._future)
        except ReplyError as error:
            if error.code != "NOSCRIPT":
                raise
        finally:
            # An error holds the frames that it passed, so this one, and the future holds the error.
            del self._future
        keys = self._keys
        return (
            yield from self._link.call(b"EVAL", self._script.source, len(keys), *keys, *self._args)
        )


def load_script(name: str, root: Traversable | None = None) -> Script:
    """Reads and assembles a script.

    Args:
        name: of its file in the root, without the suffix.
        root: a folder of scripts; None is the package's own.

    Raises:
        ScriptError: a file is missing, the first line is not `#!lua`, or an included file has one.
    """
    root = root or _package_scripts()
    shebang, _, body = _read(root, name + _SUFFIX).partition("\n")
    if not shebang.startswith(_SHEBANG):
        raise ScriptError(f"{name}{_SUFFIX} does not begin with {_SHEBANG}")
    lines = [shebang, *_expand(root, name + _SUFFIX, body, seen=set())]
    return Script(name, "\n".join(lines) + "\n")


@cache
def all_scripts() -> tuple[Script, ...]:
    """Every script of the package, by name."""
    names = sorted(
        entry.name.removesuffix(_SUFFIX)
        for entry in _package_scripts().iterdir()
        if entry.name.endswith(_SUFFIX)
    )
    return tuple(load_script(name) for name in names)


async def load_all(link: Caller) -> None:
    """Loads every script into the server, so that NOSCRIPT is rare; a connect hook."""
    await asyncio.gather(
        *(link.call(b"SCRIPT", b"LOAD", script.source) for script in all_scripts())
    )


def _package_scripts() -> Traversable:
    return files("penstock.broker").joinpath("scripts")


def _read(root: Traversable, path: str) -> str:
    try:
        return root.joinpath(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ScriptError(f"no script file {path}") from error


def _expand(root: Traversable, path: str, text: str, seen: set[str]) -> list[str]:
    """The text's lines, with each include replaced by the lines of its file.

    Every file comes in at most once, before whatever first includes it; hence a circle ends, too.
    """
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith(_INCLUDE):
            lines.append(line)
            continue
        included = line.removeprefix(_INCLUDE).strip()
        if included in seen:
            continue
        seen.add(included)
        body = _read(root, included)
        if body.startswith("#!"):
            raise ScriptError(f"{included}, included by {path}, begins with #!: only scripts do")
        lines += _expand(root, included, body, seen)
    return lines
