"""All of WatchParty as processes of a run: mail server, database, workers, API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from examples.harness.stack import Stack

__all__ = ["ADMINISTRATOR", "Deployment"]

ADMINISTRATOR: Final = "admin@watchparty.example"
_START_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """What runs, and where it leaves things.

    Attributes:
        stack: On which it runs.
        settings: Of its processes.
        url: Of the API.
        rows: What the setup said of the database.
    """

    stack: Stack
    settings: dict[str, str]
    url: str
    rows: str

    @classmethod
    def start(cls, stack: Stack, *, messages: int, workers: int = 1) -> Deployment:
        """Starts it, with a database that has so many messages. The clean-up is not scheduled."""
        mails = stack.start(
            "mail-server",
            "examples.watchparty.mail_server",
            *(str(stack.folder / "mails"), "--port", "0"),
            read_output=True,
        )
        settings = {
            "WATCHPARTY_DATABASE_URL": f"sqlite:///{stack.folder / 'watchparty.sqlite3'}",
            "WATCHPARTY_UPLOADS": str(stack.folder / "uploads"),
            "WATCHPARTY_SMTP_PORT": mails.first_line(_START_S).strip(),
            "WATCHPARTY_SECRET": "of this run alone, and nobody else's",
            "WATCHPARTY_ADMINS": ADMINISTRATOR,
        }
        wanted = ("--messages", str(messages), "--cron", "")
        rows = stack.run("setup", "examples.watchparty.setup", *wanted, settings=settings)
        for number in range(1, workers + 1):
            stack.start_worker(
                f"worker-{number}", "examples.watchparty.worker:app", settings=settings
            )
        _, url = stack.start_web("api", "examples.watchparty.api:api", settings=settings)
        return cls(stack, settings, url, rows.strip())

    def start_api(self, name: str, **settings: str) -> str:
        """Starts another API with other settings; returns its URL."""
        return self.stack.start_web(
            name, "examples.watchparty.api:api", settings=self.settings | settings
        )[1]

    def keep_schedule(self, cron: str) -> None:
        """Has rooms swept by the clock; '' is never."""
        wanted = ("--cron", cron)
        self.stack.run("setup", "examples.watchparty.setup", *wanted, settings=self.settings)

    @property
    def mails(self) -> list[Path]:
        """What the mail server has taken so far, in order."""
        return sorted((self.stack.folder / "mails").glob("*.eml"))

    @property
    def avatars(self) -> set[str]:
        """Names of the files of all avatars."""
        return {file.name for file in (self.stack.folder / "uploads/avatars").iterdir()}

    @property
    def uploads(self) -> set[str]:
        """Names of what came in and is not dealt with."""
        return {file.name for file in (self.stack.folder / "uploads/incoming").iterdir()}
