"""A registered handler: a function, how it is run, and the codecs of its payload and result."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from penstock.worker.codec import PayloadCodec, ResultCodec
from penstock.worker.context import Context
from penstock.worker.errors import HandlerDefinitionError
from penstock.worker.names import check_job_type
from penstock.worker.sync_context import SyncContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Handler", "Mode"]

Mode = Literal["async", "thread", "process"]

_CONTEXT_NAME: Final = "ctx"


@dataclass(frozen=True, slots=True)
class Handler:
    """What runs the jobs of one type. Made by `define`.

    Attributes:
        name: the job type.
        function: as it was written.
        mode: async runs it on the event loop, thread in a thread, process in a child process.
        timeout_s: of one attempt, where the job has none of its own; None is none.
        payload: bytes to the function's payload.
        result: what it returned to bytes.
        context_parameter: name of the parameter that takes the context; None takes none.
    """

    name: str
    function: Callable[..., Any]
    mode: Mode
    timeout_s: float | None
    payload: PayloadCodec
    result: ResultCodec
    context_parameter: str | None

    @classmethod
    def define(
        cls,
        name: str,
        function: Callable[..., Any],
        *,
        mode: Mode | Literal["auto"] = "auto",
        timeout_s: float | None = None,
    ) -> Handler:
        """Makes a handler of a function.

        Raises:
            HandlerDefinitionError: it cannot be one, for the reason that the text gives.
        """
        try:
            check_job_type(name)
        except ValueError as error:
            raise HandlerDefinitionError(str(error)) from None
        if timeout_s is not None and timeout_s <= 0:
            raise HandlerDefinitionError(f"{name}: the timeout must be positive")
        where = f"{name} ({getattr(function, '__qualname__', function)!s})"
        chosen = _mode_of(where, function, mode)
        hints = _hints_of(where, function)
        context, payload = _roles_of(where, function, hints, chosen)
        return cls(
            name=name,
            function=function,
            mode=chosen,
            timeout_s=timeout_s,
            payload=PayloadCodec.of(where, payload, hints),
            result=ResultCodec.of(where, hints.get("return", Any)),
            context_parameter=context,
        )


def _mode_of(where: str, function: Callable[..., Any], mode: str) -> Mode:
    is_async = inspect.iscoroutinefunction(function)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise HandlerDefinitionError(f"{where}: a handler returns, it does not yield: use ctx.emit")
    if mode == "auto":
        return "async" if is_async else "thread"
    if mode not in typing.get_args(Mode):
        raise HandlerDefinitionError(f"{where}: mode is auto, async, thread or process")
    if is_async != (mode == "async"):
        kind = "an async function runs" if is_async else "a plain function does not run"
        raise HandlerDefinitionError(f"{where}: {kind} in mode async{' only' if is_async else ''}")
    if mode == "process" and "<" in getattr(function, "__qualname__", "<"):
        raise HandlerDefinitionError(
            f"{where}: a child process imports its handler, so it must stand at a module's top"
        )
    return typing.cast("Mode", mode)


def _hints_of(where: str, function: Callable[..., Any]) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise HandlerDefinitionError(
            f"{where}: {error}. Annotations are read when the handler is registered: import their "
            "types at the module's top, outside `if TYPE_CHECKING`"
        ) from error


def _roles_of(
    where: str, function: Callable[..., Any], hints: Mapping[str, Any], mode: Mode
) -> tuple[str | None, inspect.Parameter | None]:
    """The name of the context's parameter, and the parameter of the payload."""
    context: str | None = None
    rest: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        hint = hints.get(parameter.name)
        if _is_context(hint) or parameter.name == _CONTEXT_NAME:
            _check_context(where, hint, mode)
            context = parameter.name
        else:
            rest.append(parameter)
    surplus = [other.name for other in rest[1:] if other.default is inspect.Parameter.empty]
    odd = any(
        parameter.kind
        not in {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
        for parameter in rest
    )
    if surplus or odd:
        raise HandlerDefinitionError(
            f"{where}: a handler takes its payload and its context, each optional and by name; "
            "several values belong into one payload, such as a dataclass or a pydantic model"
        )
    return context, rest[0] if rest else None


def _check_context(where: str, hint: Any, mode: Mode) -> None:  # noqa: ANN401 - any annotation.
    expected = Context if mode == "async" else SyncContext
    if _is_context(hint) and hint is not expected:
        raise HandlerDefinitionError(
            f"{where}: in mode {mode} the context is a {expected.__name__}"
        )


def _is_context(hint: Any) -> bool:  # noqa: ANN401 - any annotation.
    return hint is Context or hint is SyncContext
