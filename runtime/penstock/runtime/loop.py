"""The event loop of a process, and the signals that end it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, Literal, TypeVar

from penstock.runtime.errors import ConfigurationError

__all__ = ["EventLoop", "run", "stop_signals"]

EventLoop = Literal["auto", "asyncio", "uvloop"]
Result = TypeVar("Result")

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def run(
    main: Callable[[], Coroutine[Any, Any, Result]], *, event_loop: EventLoop = "auto"
) -> Result:
    """Run a coroutine function on a new event loop, and clean up after it as asyncio.run() does.

    Args:
        main: Called once, with the loop running.
        event_loop: Which implementation; ``auto`` is uvloop where it is installed.

    Returns:
        What ``main`` returned.

    Raises:
        ConfigurationError: uvloop was asked for and is not installed.
    """
    with asyncio.Runner(loop_factory=_loop_factory(event_loop)) as runner:
        return runner.run(main())


@contextlib.asynccontextmanager
async def stop_signals() -> AsyncIterator[asyncio.Event]:
    """Give an event that SIGTERM or SIGINT sets; to be entered in the main task.

    Example::

        async with stop_signals() as stopping, gateway:
            await stopping.wait()

    The first signal asks for a graceful end. The second cancels the main task, which cuts every
    grace short and leaves the block by SystemExit (128 + the signal's number, as a shell has it).
    A third has the signal's default effect.
    """
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    stopping = asyncio.Event()
    forced_by: signal.Signals | None = None

    def on_signal(received: signal.Signals) -> None:
        nonlocal forced_by
        if not stopping.is_set():
            stopping.set()
            return
        forced_by = received
        _remove_handlers(loop)
        if main is not None:
            main.cancel(f"forced by a second signal ({received.name})")

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stopping
    except asyncio.CancelledError:
        if forced_by is not None:
            raise SystemExit(128 + forced_by) from None
        raise
    finally:
        _remove_handlers(loop)


def _remove_handlers(loop: asyncio.AbstractEventLoop) -> None:
    for number in _STOP_SIGNALS:
        loop.remove_signal_handler(number)


def _loop_factory(event_loop: EventLoop) -> Callable[[], asyncio.AbstractEventLoop]:
    if event_loop == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop  # noqa: PLC0415 - an optional dependency.
    except ImportError:
        if event_loop == "auto":
            return asyncio.new_event_loop
        raise ConfigurationError(
            "PENSTOCK_EVENT_LOOP is uvloop, which is not installed: pip install uvloop, or set "
            "PENSTOCK_EVENT_LOOP=asyncio",
            fields=("event_loop",),
        ) from None
    return uvloop.new_event_loop
