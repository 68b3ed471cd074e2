"""The exit codes of ``penstock``: scripts and containers rely on them, so they never change."""

from enum import IntEnum

__all__ = ["ExitCode"]


class ExitCode(IntEnum):
    """What became of a command. ``penstock health`` alone has codes of its own (see its help)."""

    OK = 0
    """Done; a job that was waited for SUCCEEDED."""

    FAILED = 1
    """A job that was waited for did not succeed, or a process ended by itself."""

    USAGE = 2
    """The command line or the settings are wrong."""

    UNREACHABLE = 3
    """The gateway (or Redis) is down, unreachable or overloaded: the same call may work later."""

    REFUSED = 4
    """The gateway refused: a bad payload, an unknown job, a conflict. Repeating it is no use."""

    TIMED_OUT = 5
    """The time given with --timeout passed first."""

    BUG = 70
    """A fault of the program itself (EX_SOFTWARE of sysexits.h)."""

    INTERRUPTED = 130
    """Ctrl-C (128 + SIGINT, as shells have it)."""
