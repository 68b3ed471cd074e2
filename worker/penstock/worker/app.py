"""The worker as users write it: queues, slots, and handlers registered by decorator.

For example::

    app = Worker("default", slots=20)


    @app.job("image.resize", timeout=60)
    async def resize(payload: Resize, ctx: Context) -> Resized: ...


    if __name__ == "__main__":
        app.run()
"""

from __future__ import annotations

import importlib
import os
import sys
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from penstock.broker import Priority, Subscription
from penstock.worker.errors import AppNotFoundError, HandlerDefinitionError
from penstock.worker.handler import Handler
from penstock.worker.names import check_pattern, check_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from penstock.worker.handler import Mode

__all__ = ["Worker", "load_app"]

DEFAULT_SLOTS: Final = 16
MAX_ATTEMPTS: Final = 100

_F = TypeVar("_F", bound="Callable[..., Any]")


class Worker:
    """The handlers of one kind of worker process.

    Args:
        queues: The name of the queue that it serves, or several.
        slots: How many jobs one process runs at once.

    Both are defaults, which the settings of a process override.

    Attributes:
        queues: As given.
        slots: As given.

    Raises:
        ValueError: A name is none, there are no queues, or no slots.
    """

    def __init__(
        self, queues: str | Iterable[str] = "default", *, slots: int = DEFAULT_SLOTS
    ) -> None:
        self.queues: Final = (queues,) if isinstance(queues, str) else tuple(dict.fromkeys(queues))
        self.slots: Final = slots
        for queue in self.queues:
            check_queue(queue)
        if not self.queues or slots < 1:
            raise ValueError("a worker has at least one queue and one slot")
        self._handlers: dict[str, Handler] = {}
        self._subscriptions: list[Subscription] = []

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """The handlers, by job type; a view."""
        return MappingProxyType(self._handlers)

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """The subscriptions that a process of this worker makes when it starts."""
        return tuple(self._subscriptions)

    def job(
        self,
        name: str,
        *,
        timeout: timedelta | float | None = None,
        mode: Mode | Literal["auto"] = "auto",
    ) -> Callable[[_F], _F]:
        """Registers a handler; the function itself stays as it is.

        Args:
            name: The job type.
            timeout: Of one attempt, in seconds or as a timedelta, for jobs without one of their
                own; None is none.
            mode: ``auto`` runs an async function on the event loop and a plain one in a thread;
                ``process`` runs a plain one in a child process, which is for what keeps the CPU
                busy or holds the GIL for longer than a lease. There are as many children as such
                jobs run at once, at most one a slot, and they are kept.

        Raises:
            HandlerDefinitionError: When the function is decorated: it cannot be a handler.
        """
        timeout_s = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout

        def register(function: _F) -> _F:
            if name in self._handlers:
                raise HandlerDefinitionError(f"{name}: there is a handler of that name already")
            self._handlers[name] = Handler.define(name, function, mode=mode, timeout_s=timeout_s)
            return function

        return register

    def on(
        self,
        pattern: str,
        *,
        name: str = "",
        queue: str = "",
        priority: Literal["high", "default", "low"] | None = None,
        max_attempts: int | None = None,
        timeout: timedelta | float | None = None,
        mode: Mode | Literal["auto"] = "auto",
    ) -> Callable[[_F], _F]:
        """Registers a handler, and a subscription that gives it the messages of some topics.

        The subscription is made when a process starts, and it stays when that stops: it collects
        jobs until one starts again, or until it is deleted.

        Args:
            pattern: Of the topics: ``order.created``; ``order.*`` for any one segment in its place;
                ``order.**`` for one or more.
            name: Of the subscription, which is the type of its jobs; '' is the function's name.
            queue: For its jobs, one that this worker serves; '' leaves it to the topic's rule, and
                without one it is ``default``.
            priority: Of its jobs; None leaves it to the rule. A message's own comes first.
            max_attempts: Of each job, 1 to 100, likewise.
            timeout: As of `job`.
            mode: As of `job`.

        Raises:
            HandlerDefinitionError: When the function is decorated: it cannot be a handler, or there
                cannot be such a subscription.
        """

        def register(function: _F) -> _F:
            own_name = name or str(getattr(function, "__name__", ""))
            try:
                check_pattern(pattern)
                if queue:
                    check_queue(queue)
                if max_attempts is not None and not 1 <= max_attempts <= MAX_ATTEMPTS:
                    raise ValueError(f"max_attempts is 1 to {MAX_ATTEMPTS}")  # noqa: TRY301 - as the others.
                chosen = None if priority is None else _priority(priority)
            except ValueError as error:
                raise HandlerDefinitionError(f"{own_name}: {error}") from None
            self.job(own_name, timeout=timeout, mode=mode)(function)
            wanted = Subscription(own_name, pattern, queue, chosen, max_attempts)
            self._subscriptions.append(wanted)
            return function

        return register

    def run(self, **flags: Any) -> None:  # noqa: ANN401 - each setting has its own type.
        """Runs one worker process until SIGTERM or SIGINT, for scripts.

        Args:
            **flags: Settings that come before those of the environment; see `WorkerSettings`.

        Raises:
            SystemExit: With 2, after a line on stderr: a setting is wrong or missing, or the
                server cannot be reached, or must not be entrusted with jobs.
        """
        # Here, since these import the app's class.
        from penstock.broker import PenstockError  # noqa: PLC0415
        from penstock.runtime import RuntimeFault, configure_logging, run  # noqa: PLC0415
        from penstock.worker.service import serve  # noqa: PLC0415
        from penstock.worker.settings import WorkerSettings  # noqa: PLC0415

        try:
            settings = WorkerSettings.load(**flags)
            configure_logging(settings.log_level, settings.log_format)
            run(lambda: serve(self, settings), event_loop=settings.event_loop)
        except (PenstockError, RuntimeFault) as error:
            print(f"error: {error}", file=sys.stderr)  # noqa: T201 - of a script, to its user.
            sys.exit(2)


def _priority(name: str) -> Priority:
    try:
        return Priority[name.upper()]
    except KeyError:
        raise ValueError(f"{name!r} is no priority: high, default or low") from None


def load_app(path: str) -> Worker:
    """Imports the Worker that ``module:variable`` names; the current folder is searched, too.

    Raises:
        AppNotFoundError: There is no such module or variable, or it is no Worker. What the module
            itself raises is passed on.
    """
    module_name, colon, variable = path.partition(":")
    if not (module_name and colon and variable):
        raise AppNotFoundError(f"{path!r} is not of the form module:variable, such as jobs:app")
    folder = os.getcwd()  # noqa: PTH109 - sys.path holds strings.
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise AppNotFoundError(
            f"there is no module {module_name}: it is looked for in {folder} and on PYTHONPATH"
        ) from None
    app = getattr(module, variable, None)
    if not isinstance(app, Worker):
        raise AppNotFoundError(f"{module_name} has no Worker named {variable}")
    return app
