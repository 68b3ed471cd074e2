"""Mail: templates to messages, and messages to an SMTP server."""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from typing import Final, Literal

import aiosmtplib
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from pydantic_settings import BaseSettings, SettingsConfigDict

from penstock.worker import PayloadInvalid

__all__ = ["MailSettings", "message_of", "send"]

_PERMANENT: Final = 500
_TIMEOUT_S: Final = 20

# Names are what their bearers chose: in HTML every one of them is escaped.
_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
)


class MailSettings(BaseSettings):
    """``WATCHPARTY_*`` variables of those who send mail."""

    model_config = SettingsConfigDict(env_prefix="WATCHPARTY_")

    smtp_host: str = "127.0.0.1"
    smtp_port: int = 1025
    smtp_tls: Literal["none", "starttls", "tls"] = "none"
    smtp_user: str | None = None
    smtp_password: str | None = None
    mail_from: str = "WatchParty <noreply@watchparty.example>"
    url: str = "http://127.0.0.1:5000"
    """Of the site, for links."""


def message_of(
    template: str, subject: str, to: str, job_id: str, settings: MailSettings, **values: str
) -> EmailMessage:
    """A mail with a text and an HTML part.

    Args:
        template: Name of both files, without what is after the dot.
        subject: In one line, or it is made one.
        to: Its recipient.
        job_id: Names the mail: an attempt that did not learn that it had been sent sends it under
            the same Message-ID again, by which mailboxes tell.
        settings: From whom.
        **values: For the templates.
    """
    message = EmailMessage()
    message["From"] = settings.mail_from
    message["To"] = to
    message["Subject"] = " ".join(subject.split())
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{job_id}@watchparty.example>"
    message.set_content(_templates.get_template(f"{template}.txt").render(values))
    html = _templates.get_template(f"{template}.html").render(values)
    message.add_alternative(html, subtype="html")
    return message


async def send(message: EmailMessage, settings: MailSettings) -> None:
    """Hands a mail to the server.

    Raises:
        PayloadInvalid: The server refuses it for good (5xx): another attempt is no use.
        aiosmtplib.SMTPException: It does not take it now, or is not there.
    """
    try:
        await aiosmtplib.send(
            message,
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_user,
            password=settings.smtp_password,
            use_tls=settings.smtp_tls == "tls",
            start_tls=settings.smtp_tls == "starttls",
            timeout=_TIMEOUT_S,
        )
    except aiosmtplib.SMTPRecipientsRefused as error:
        refused = error.recipients[0]
        if refused.code >= _PERMANENT:
            raise PayloadInvalid(f"refused: {refused.code} {refused.message}") from error
        raise
    except aiosmtplib.SMTPDataError as error:
        if error.code >= _PERMANENT:
            raise PayloadInvalid(f"refused: {error.code} {error.message}") from error
        raise
