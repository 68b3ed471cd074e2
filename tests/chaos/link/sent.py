"""What processes send to the server: scripts by name, other commands as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from penstock.broker.script import all_scripts
from tests.chaos.link.taps import Trap

__all__ = ["DIGESTS", "CrashPoint", "Listener"]

Moment = Literal["before", "after"]
_REQUEST: Final = re.compile(rb"\*\d+\r\n\$\d+\r\n([A-Za-z]+)\r\n(?:\$40\r\n([0-9a-f]{40})\r\n)?")
_NAMES: Final = {script.sha1: script.name for script in all_scripts()}
#: Of the scripts, by name.
DIGESTS: Final = {name: sha1 for sha1, name in _NAMES.items()}


@dataclass(frozen=True, order=True)
class CrashPoint:
    """A moment in the life of a process: just before, or after, a request reaches the server.

    Attributes:
        role: of the process.
        sent: the name of a script, or a command in capitals.
        moment: as it says.
    """

    role: str
    sent: str
    moment: Moment

    @property
    def marker(self) -> bytes:
        """Bytes of the request."""
        digest = DIGESTS.get(self.sent)
        return digest or b"\r\n$%d\r\n%s\r\n" % (len(self.sent), self.sent.encode())

    def __str__(self) -> str:
        return f"{self.moment} the {self.role} has sent {self.sent}"


class Listener(Trap):
    """Catches nothing, and knows what was sent.

    Attributes:
        heard: names of scripts, and of commands in capitals.
    """

    def __init__(self) -> None:
        super().__init__(b"", 1, lambda: None, "before")
        self.heard: set[str] = set()

    def catches(self, request: bytes) -> bool:
        """See `Trap`."""
        if found := _REQUEST.match(request):
            command, digest = found.groups()
            self.heard.add(_NAMES.get(digest) or command.decode().upper())
        return False
