"""A mail server to try it with: ``python -m examples.watchparty.mail_server FOLDER [--port 1025]``.

It speaks SMTP, and keeps each mail as a file in the folder. It has its moods, by the recipient:
those who are ``busy...@`` are put off (451) the first two times, ``nobody@`` is refused (550).
Prints the port it listens on in a line, and ends when its standard input does.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aiosmtpd.smtp import SMTP

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session

__all__ = ["Mailbox"]

_PUT_OFF: Final = 2


class Mailbox:
    """Keeps mails in a folder, numbered in the order in which they came."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tries: Counter[str] = Counter()
        self._kept = 0

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name.
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        """Answers whether mail for an address is taken."""
        del server, session, options
        self._tries[address] += 1
        if address.startswith("nobody@"):
            return "550 5.1.1 nobody of that name here"
        if address.startswith("busy") and self._tries[address] <= _PUT_OFF:
            return "451 4.2.0 come again later"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Keeps a mail."""
        del server, session
        self._kept += 1
        half = self._folder / f".{self._kept:06}"
        half.write_bytes(envelope.original_content or b"")
        half.rename(self._folder / f"{self._kept:06}.eml")
        return "250 2.0.0 kept"


async def _serve(folder: Path, port: int) -> None:
    mailbox = Mailbox(folder)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox), "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    done = asyncio.Event()

    def wait_for_end() -> None:
        while sys.stdin.buffer.read(1024):
            pass
        loop.call_soon_threadsafe(done.set)

    threading.Thread(target=wait_for_end, daemon=True).start()
    await done.wait()
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m examples.watchparty.mail_server")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--port", type=int, default=1025, help="0 is any that is free")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    try:
        asyncio.run(_serve(arguments.folder, arguments.port))
    except KeyboardInterrupt:
        sys.exit(130)
