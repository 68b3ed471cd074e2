"""What is asked of the workers: queues, job types, their payloads, and how they are submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from penstock.client import Backoff, SubmitOptions

if TYPE_CHECKING:
    from penstock.client import AsyncClient, AsyncJobHandle

__all__ = [
    "CLEANUP",
    "EMAIL",
    "IMAGES",
    "INVITE",
    "PROCESS_AVATAR",
    "READS",
    "REPORT",
    "RESET",
    "SWEEP",
    "WELCOME",
    "Avatar",
    "Invitation",
    "Mail",
    "Sweep",
    "submit",
]

EMAIL: Final = "email"
IMAGES: Final = "image-processing"
CLEANUP: Final = "room-cleanup"
READS: Final = "reads"

WELCOME: Final = "mail.welcome"
RESET: Final = "mail.password_reset"
INVITE: Final = "mail.room_invitation"
PROCESS_AVATAR: Final = "image.avatar"
SWEEP: Final = "rooms.sweep"
REPORT: Final = "rooms.report"


class _Payload(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Mail(_Payload):
    """A mail to a user. Names and addresses are looked up when it is sent."""

    user_id: int


class Invitation(_Payload):
    """A mail to anybody, user or not: come and watch with us."""

    room_id: int
    host_id: int
    to: str = Field(min_length=3, max_length=254)


class Avatar(_Payload):
    """A picture that was uploaded.

    Attributes:
        user_id: Whose.
        upload: Name of the file among those that came in.
        version: Counts the uploads of the user: a newer one is not replaced by an older one.
    """

    user_id: int
    upload: str = Field(pattern=r"^[0-9a-f]{32}$")
    version: int = Field(ge=1)


class Sweep(_Payload):
    """What is old enough to go."""

    days_inactive: int = Field(30, ge=1, le=3650, description="of rooms")
    message_days: int = Field(90, ge=1, le=3650)
    participant_hours: int = Field(24, ge=1, le=8760)


_MAIL: Final = SubmitOptions(queue=EMAIL, max_attempts=3, backoff=Backoff(initial=1.0, max=60))

_OPTIONS: Final[dict[str, SubmitOptions]] = {
    WELCOME: _MAIL,
    RESET: {**_MAIL, "priority": "HIGH"},
    INVITE: _MAIL,
    PROCESS_AVATAR: {"queue": IMAGES, "max_attempts": 3, "timeout": 60},
    SWEEP: {"queue": CLEANUP, "max_attempts": 3, "timeout": 3600},
    REPORT: {"queue": CLEANUP, "max_attempts": 1, "timeout": 300},
}


async def submit(
    jobs: AsyncClient, job_type: str, payload: BaseModel | None = None
) -> AsyncJobHandle:
    """Stores a job, the way jobs of its type are: its queue, priority, attempts and so on.

    It may be asked for before the first worker is up.
    """
    options: SubmitOptions = {**_OPTIONS[job_type], "allow_unregistered": True}
    return await jobs.submit(job_type, payload, **options)
