"""What the person at the terminal is told when something goes wrong: one line, and what to do.

Every exception that can reach the top of a command becomes a Fault here, in one place.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from penstock.cli.exits import ExitCode
from penstock.cli.extras import missing_extra

if TYPE_CHECKING:
    from penstock.client import PenstockError, Status, StatusError

__all__ = [
    "CallError",
    "CommandError",
    "Fault",
    "UnsettledSubmitError",
    "explain",
    "of_refusal",
    "trouble_at",
]

_REDIS: Final = "Is the server up, and PENSTOCK_REDIS_URL right? `penstock dev` brings its own."
_GATEWAY: Final = (
    "Is one up (penstock dev, penstock server), and the address right (--address, "
    "PENSTOCK_ADDRESS)?"
)

_NO_QUEUE: Final = "A queue begins with its first job or worker; `penstock queues` lists them."

_HINTS: Final = {
    "STORAGE_REFUSED": "Its Redis is up, but would lose jobs, or holds what is not its own. "
    "`penstock health` says what to change on it.",
    "STORAGE_UNAVAILABLE": "Its Redis is down or out of reach. The gateway finds it by itself once "
    "it is back: try again then.",
    "MESSAGE_ID_REUSED": "Publish another message under another --message-id.",
    "SCHEDULE_EXISTS": "Change it with penstock schedule update, or choose another ID.",
    "SCHEDULE_NOT_FOUND": "`penstock schedule list` shows those that there are.",
    "UNKNOWN_JOB_TYPE": "Start a worker that handles it, or add --allow-unregistered.",
}
"""What to do, by the reason of a refusal, where the client's own hint is not for a terminal."""

_PASSING: Final = frozenset({"DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "UNAVAILABLE"})
"""Codes of refusals that may have passed when the same call is made again."""


@dataclass(frozen=True, slots=True)
class Fault:
    """An error as it is shown.

    Attributes:
        code: What the process exits with.
        kind: A stable word for scripts.
        message: What is wrong, in a line.
        hints: Details, or what to do about it; a line each.
        status: What the gateway answered; None where it did not.
    """

    code: ExitCode
    kind: str
    message: str
    hints: tuple[str, ...] = ()
    status: Status | None = None


class CommandError(Exception):
    """An error that the command line itself finds.

    Args:
        message: What is wrong, in a line.
        hint: What to do about it.
        code: What the process exits with.
    """

    def __init__(self, message: str, hint: str = "", code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code
        self.kind = code.name


class CallError(Exception):
    """A call of a gateway failed.

    Args:
        address: Of the gateway.
        cause: What the client raised.
    """

    def __init__(self, address: str, cause: PenstockError) -> None:
        super().__init__(str(cause))
        self.address = address
        self.cause = cause


class UnsettledSubmitError(CommandError):
    """No answer to a submit came in time.

    Args:
        request_id: Of the submit, under which it may be repeated.
    """

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "no answer came in time: whether the job is stored is not known",
            f"the same command with --request-id {request_id} settles it: it makes no second job",
            ExitCode.UNREACHABLE,
        )
        self.kind = "DEADLINE_EXCEEDED"


def explain(error: Exception) -> Fault:
    """Return how an exception is shown."""
    if isinstance(error, CommandError):
        hints = (error.hint,) if error.hint else ()
        return Fault(error.code, error.kind, str(error), hints)
    if isinstance(error, CallError):
        return _of_call(error)
    # An error of usage that typer found, whose class it keeps to itself.
    format_message = getattr(error, "format_message", None)
    if format_message is not None:
        return Fault(ExitCode.USAGE, ExitCode.USAGE.name, format_message())
    # Told by their modules, which then are loaded already: none is loaded for this alone.
    family = type(error).__module__.split(".")[:2]
    if family == ["penstock", "broker"]:
        return _of_broker(error)
    if family in (["penstock", "runtime"], ["penstock", "worker"], ["penstock", "server"]):
        first, *others = str(error).splitlines() or [type(error).__name__]
        return Fault(ExitCode.USAGE, "SETTINGS", first, tuple(line.strip() for line in others))
    return _of_python(error)


def trouble_at(address: str, status: Status) -> str:
    """Return what is wrong with a gateway that answered a call so, or none that did."""
    if status.code == "UNAVAILABLE" and not status.reason:  # Which a gateway gives, always.
        return f"no gateway answers at {address}"
    return status.message or status.code


def of_refusal(error: StatusError) -> Fault:
    """Return how a refusal is shown, of a call or of one item of a batch."""
    status = error.status
    code = ExitCode.UNREACHABLE if status.code in _PASSING else ExitCode.REFUSED
    kind = status.reason or status.code
    if status.violations:
        violations = tuple(str(violation) for violation in status.violations)
        return Fault(code, kind, "the request was refused", violations, status)
    hint = _HINTS.get(kind) or (_NO_QUEUE if _is_about_queue(error) else error.hint)
    return Fault(code, kind, status.message or status.code, (hint,) if hint else (), status)


def _of_python(error: Exception) -> Fault:
    if isinstance(error, OSError):
        return Fault(ExitCode.FAILED, "SYSTEM", str(error))
    if isinstance(error, ModuleNotFoundError):
        advice = missing_extra(error, sys.argv[1:])
        if advice is not None:
            return Fault(ExitCode.USAGE, "NOT_INSTALLED", advice)
    return Fault(
        ExitCode.BUG,
        "BUG",
        f"{type(error).__name__}: {error}",
        ("This is a fault of penstock itself. PENSTOCK_DEBUG=1 shows where it is.",),
    )


def _is_about_queue(error: StatusError) -> bool:
    status = error.status
    about = status.resource[0] if status.resource else ""
    return status.code == "NOT_FOUND" and about.rpartition(".")[2].lower() == "queue"


def _of_call(error: CallError) -> Fault:
    from penstock.client import StatusError

    if not isinstance(error.cause, StatusError):
        return Fault(ExitCode.FAILED, type(error.cause).__name__, str(error))
    status = error.cause.status
    if status.code == "UNAVAILABLE" and not status.reason:  # Which a gateway gives, always.
        message = trouble_at(error.address, status)
        return Fault(ExitCode.UNREACHABLE, status.code, message, (_GATEWAY,))
    return of_refusal(error.cause)


def _of_broker(error: Exception) -> Fault:
    from penstock.broker import Unavailable, UnsafeServer

    if isinstance(error, Unavailable):
        return Fault(ExitCode.UNREACHABLE, "REDIS", f"Redis cannot be used: {error}", (_REDIS,))
    if isinstance(error, UnsafeServer):
        return Fault(ExitCode.USAGE, "UNSAFE_SERVER", str(error))
    return Fault(ExitCode.FAILED, "REDIS", str(error))
