"""What goes wrong before a job runs, each message meant for the person at the terminal.

    RuntimeFault                        (of penstock.runtime)
    +-- WorkerFault
        +-- HandlerDefinitionError      a function cannot be a handler as it is written
        +-- AppNotFoundError            'module:app' leads to no Worker

What a handler raises to end its attempt is in ``signals``.
"""

from __future__ import annotations

from penstock.runtime import RuntimeFault

__all__ = ["AppNotFoundError", "HandlerDefinitionError", "WorkerFault"]


class WorkerFault(RuntimeFault):
    """Root of what this package raises about an app, as opposed to about a job."""


class HandlerDefinitionError(WorkerFault):
    """A function cannot be a handler as it is written; the text says what to change."""


class AppNotFoundError(WorkerFault):
    """A path of the form ``module:variable`` leads to no Worker."""
