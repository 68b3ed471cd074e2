"""Runs CPU-bound handlers in child processes, which are reused, and killed if they do not stop."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from penstock.broker import CacheTarget, Content, PenstockError
from penstock.worker.children import NeverBegun
from penstock.worker.codec import PayloadInvalid, ResultInvalid
from penstock.worker.executors import forget_cancels
from penstock.worker.frames import Frame, pack
from penstock.worker.outcome import HandlerFailed
from penstock.worker.pool import ChildPool
from penstock.worker.reporter import OutputLost, outlet_of
from penstock.worker.signals import Cancel, Retry, Stopped, StopReason
from penstock.worker.targets import target_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.broker.attempts import Attempts
    from penstock.worker.attempt import Attempt
    from penstock.worker.children import Child
    from penstock.worker.handler import Handler
    from penstock.worker.reporter import Reporter
    from penstock.worker.settings import WorkerSettings

__all__ = ["ProcessExecutor"]

#: Children that one attempt is tried in, as long as each dies before it has begun.
CHILDREN_AT_MOST: Final = 3


class ProcessExecutor:
    """Runs handlers in children, no more than there are jobs at once; idle ones are kept.

    Args:
        attempts: where what handlers say is written to.
        settings: how long a handler that was told to stop has for it; how children log.
    """

    def __init__(self, attempts: Attempts, settings: WorkerSettings) -> None:
        self._attempts = attempts
        self._settings = settings
        self._pool = ChildPool(settings)

    async def start(self) -> None:
        """Does nothing: children are started when they are needed."""

    async def stop(self) -> None:
        """Ends all children."""
        await self._pool.stop()

    async def execute(self, attempt: Attempt, handler: Handler) -> Content:
        """As `Executor.execute`."""
        for _ in range(CHILDREN_AT_MOST - 1):
            with suppress(NeverBegun):
                return await self._execute_once(attempt, handler)
        return await self._execute_once(attempt, handler)

    async def _execute_once(self, attempt: Attempt, handler: Handler) -> Content:
        child = await self._child(attempt, handler)
        if attempt.stop_reason is not None:  # It came while the child was being started.
            self._pool.give_back(child)
            raise Stopped(attempt.stop_reason)
        return await self._execute_in(child, attempt, handler)

    async def _child(self, attempt: Attempt, handler: Handler) -> Child:
        """A child to run it in. Raises Stopped if the attempt is told to stop meanwhile."""
        asked = self._pool.ask(handler)

        def stop() -> None:
            asked.cancel()

        attempt.on_stop = stop
        try:
            return await asked
        except asyncio.CancelledError:
            if asked.cancelled() and attempt.stop_reason is not None:
                raise Stopped(attempt.stop_reason) from None
            if not asked.cancelled() and asked.exception() is None:
                self._pool.give_back(asked.result())
            raise
        finally:
            attempt.on_stop = None

    async def _execute_in(self, child: Child, attempt: Attempt, handler: Handler) -> Content:
        """Runs the handler in a child, which is kept or retired then."""
        reusable = False
        loop = asyncio.get_running_loop()

        def stop() -> None:
            child.send(pack("stop", reason=(attempt.stop_reason or StopReason.CANCELLED).name))
            loop.call_later(self._settings.stop_grace_s, give_up)

        def give_up() -> None:
            if attempt.on_stop is stop and attempt.task is not None:
                attempt.task.cancel()

        attempt.on_stop = stop
        attempt.on_drain = lambda: child.send(pack("drain"))
        try:
            await child.begin(_order(attempt, handler))
            last = await _converse(child, outlet_of(attempt, self._attempts))
            reusable = True
        finally:
            attempt.on_stop = attempt.on_drain = None
            if attempt.stop_reason is not None:
                forget_cancels(attempt)
            if reusable:
                self._pool.give_back(child)
            else:
                self._pool.retire(child)
        return _result_of(last)


async def _converse(child: Child, outlet: Reporter) -> Frame:
    """Passes on what the handler says, until the frame that tells how it ended."""
    while True:
        frame = await child.receive()
        fields = frame.fields
        match frame.kind:
            case "progress":
                outlet.progress(fields["current"], fields["total"], fields["message"])
            case "log":
                outlet.log(fields["level"], fields["message"])
            case "emit" | "checkpoint" | "invalidate":
                child.send(await _serve(frame, outlet))
            case "ready":
                pass  # It was handed out before.
            case _:
                return frame


async def _serve(frame: Frame, outlet: Reporter) -> bytes:
    """Does what the handler waits for; the answer to it."""
    failed: dict[str, Any] = {}
    try:
        match frame.kind:
            case "emit":
                await outlet.emit(frame.body)
            case "checkpoint":
                await outlet.checkpoint(frame.body)
            case _:
                await outlet.invalidate([CacheTarget(*names) for names in json.loads(frame.body)])
    except Stopped as stopped:
        failed = {"error": "Stopped", "message": stopped.reason.name}
    except (OutputLost, PenstockError) as error:
        failed = {"error": type(error).__name__, "message": str(error)}
    return pack("done", call=frame.fields["call"], **failed)


def _order(attempt: Attempt, handler: Handler) -> bytes:
    """The frame that has a child run an attempt."""
    payload = attempt.grant.payload
    facts = asdict(attempt.facts())
    checkpoint = facts.pop("checkpoint")
    return pack(
        "run",
        payload.data + (checkpoint or b""),
        name=handler.name,
        target=target_of(handler.function),
        facts=facts,
        content_type=payload.content_type,
        payload_bytes=len(payload.data),
        has_checkpoint=checkpoint is not None,
        draining=attempt.draining,
    )


def _result_of(frame: Frame) -> Content:
    """The result that a last frame holds. Raises what the handler raised."""
    fields = frame.fields
    if frame.kind == "result":
        return Content(frame.body, fields["content_type"])
    raise _error_of(fields)


def _error_of(fields: Mapping[str, Any]) -> BaseException:
    message: str = fields["message"]
    match fields["error"]:
        case "Retry":
            return Retry(fields["after_s"], message)
        case "Cancel":
            return Cancel(message)
        case "PayloadInvalid":
            return PayloadInvalid(message)
        case "ResultInvalid":
            return ResultInvalid(message)
        case "Stopped":
            return Stopped(StopReason[message])
    return HandlerFailed(fields["name"], message, fields["trace"])
