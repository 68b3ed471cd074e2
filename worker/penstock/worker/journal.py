"""What the logs say of attempts: one line for each that did not succeed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from penstock.worker.outcome import Dropped, Failed, Outcome, Released, Succeeded
from penstock.worker.text import cut

if TYPE_CHECKING:
    from penstock.broker import Content
    from penstock.worker.attempt import Attempt

__all__ = ["tell"]

#: Of an error's text; the job's record has more of it.
LOGGED_BYTES: Final = 500

_log: Final = structlog.get_logger(__name__)


def tell(attempt: Attempt, outcome: Outcome, ended: Content | BaseException) -> None:
    """Logs an outcome; the traceback of an error at level debug, since handlers fail as they like.

    Args:
        attempt: whose outcome it is.
        outcome: that is about to be written.
        ended: what it was concluded from.
    """
    if isinstance(outcome, Succeeded):
        return
    grant = attempt.grant
    log = _log.bind(job_id=grant.job_id, type=grant.type, attempt=grant.attempt)
    match outcome:
        case Failed("cancelled" | "expired" as kind, failure):
            log.info("attempt ended", how=kind, message=_brief(failure.message))
        case Failed(kind, failure):
            message = _brief(failure.message)
            log.warning("attempt failed", how=kind, error=failure.type, message=message)
            log.debug("traceback", exc_info=ended, child=getattr(ended, "trace", ""))
        case Released(reason):
            log.info("attempt handed back", reason=reason)
        case Dropped():
            log.warning("attempt dropped: its lease is lost")


def _brief(message: str) -> str:
    brief = cut(message, LOGGED_BYTES)
    return message if brief == message else f"{brief}... (cut; the job has more of it)"
