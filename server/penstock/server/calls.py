"""What every call passes through: admission, its deadline, the table of errors, and the end.

Services are written without gRPC: a method takes a request and a `Call`, and returns its answer,
or writes its messages and returns nothing; it raises errors. `Calls` turns such methods into
handlers of gRPC.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, cast

import grpc.aio
from google.protobuf.message_factory import GetMessageClass

from penstock.server.admission import caller_of
from penstock.server.errors import DeadlineSpent, Fault, SlowReader, Stopping, fault_of
from penstock.server.open_calls import OpenCalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
    from google.protobuf.message import Message

    from penstock.server.admission import Admission, Lane

    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = Callable[[bytes, Context], Awaitable[Any]]
    Method = Callable[[Any, "Call"], Awaitable[Any]]
    Parse = Callable[[bytes], Message]

__all__ = ["Call", "Calls"]

#: Kept of the caller's time for the way back: this fraction, and at most so much (s).
_MARGIN: Final = 0.1
_MAX_MARGIN_S: Final = 0.1
#: What a call has at most to reach Redis while that is known to be away (s): its caller may have
#: better luck with another gateway. Longer than the pause between two attempts to connect.
_AWAY_CAP_S: Final = 1.0
#: How long the status of a stalled stream is tried to be written (s).
_LAST_WORDS_S: Final = 5.0
#: An answer of so many bytes counts as a call until it is taken; and its caller, who takes nothing
#: for so long (s), counts as one who has stalled.
LARGE: Final = 65_536
TAKE_S: Final = 30.0
#: How long those that are cut off at the end of a shutdown's grace have for it (s).
_CUT_S: Final = 1.0


class Call:
    """One call, as a service sees it."""

    __slots__ = ("_begun", "_cap_s", "_context")

    def __init__(self, context: Context, cap_s: float) -> None:
        self._context = context
        self._cap_s = cap_s
        self._begun = False

    @property
    def budget_s(self) -> float:
        """How long the call may try to reach Redis from now on (s).

        Raises:
            DeadlineSpent: the caller's deadline leaves no time.
        """
        left_s = self.left_s
        if left_s is None:
            return self._cap_s
        if left_s <= 0:
            raise DeadlineSpent
        return min(left_s, self._cap_s)

    @property
    def left_s(self) -> float | None:
        """What the caller's deadline leaves (s), less a margin for the way back; None: no end."""
        remaining_s = cast("float | None", self._context.time_remaining())
        if remaining_s is None:
            return None
        return remaining_s - min(remaining_s * _MARGIN, _MAX_MARGIN_S)

    async def write(self, message: Message) -> None:
        """Sends one message of a stream; waits while the reader takes nothing."""
        if not self._begun:
            # By themselves: sent with a message that is never taken, they would count as not sent,
            # and no status could follow.
            await self._context.send_initial_metadata(())
            self._begun = True
        await self._context.write(message)


class Calls:
    """Makes handlers out of methods, and knows which calls are open."""

    def __init__(self, admission: Admission, cap_s: float) -> None:
        self._admission = admission
        self._cap_s = cap_s
        self._open = OpenCalls()
        self._closing = False

    def handlers(
        self, service: object, descriptor: ServiceDescriptor, *, long: frozenset[str] = frozenset()
    ) -> grpc.GenericRpcHandler:
        """What a server is to be given to serve a service.

        Args:
            service: has a method of each name in the contract.
            descriptor: of the service.
            long: names of methods with one answer that may wait for it as long as a stream lasts.
        """
        doors: dict[str, _Door] = {}
        for method in descriptor.methods:
            is_long = method.server_streaming or method.name in long
            lane = self._admission.stream_lane if is_long else self._admission.unary_lane
            doors[f"/{descriptor.full_name}/{method.name}"] = _Door(
                lane,
                self._handler(method, getattr(service, method.name), lane),
                self._turning_away(lane, streaming=method.server_streaming),
            )
        return _Doors(doors)

    def close(self) -> None:
        """Refuses every call from now on; those that are open may go on."""
        self._closing = True

    async def finish(self, grace_s: float) -> None:
        """After `close`: waits until all are answered; what lasts longer is told to come back.

        Args:
            grace_s: how long calls may go on, in seconds.
        """
        if not await self._open.ended(grace_s):
            self._open.cut()
            await self._open.ended(_CUT_S)

    def _budget_s(self) -> float:
        """What a call that begins now may take to reach Redis, but for its own deadline (s)."""
        return min(self._cap_s, _AWAY_CAP_S) if self._admission.storage_away else self._cap_s

    def _enter(self, context: Context) -> None:
        """Counts a call as open. Raises Stopping once closed."""
        if self._closing:
            raise Stopping
        self._open.enter(context)

    def _handler(
        self, descriptor: MethodDescriptor, method: Method, lane: Lane
    ) -> grpc.RpcMethodHandler[bytes, Any]:
        # Requests are parsed here rather than by gRPC, which would answer with the parser's text;
        # and after the caller was admitted.
        parse = GetMessageClass(descriptor.input_type).FromString
        handle = self._admitted(method, parse, lane)
        make = (
            grpc.unary_stream_rpc_method_handler
            if descriptor.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        serialize = GetMessageClass(descriptor.output_type).SerializeToString
        return make(handle, request_deserializer=None, response_serializer=serialize)

    def _admitted(self, method: Method, parse: Parse, lane: Lane) -> Handler:
        async def handle(request: bytes, context: Context) -> object:
            try:
                self._enter(context)
                caller = caller_of(context)
                lane.enter(caller)
            except Exception as error:  # noqa: BLE001 - as below.
                await _refuse(context, fault_of(error))
            is_held = False
            try:
                try:
                    answer = await method(parse(request), Call(context, self._budget_s()))
                    is_held = answer is not None and answer.ByteSize() >= LARGE
                    if is_held:
                        self._open.hold(context, partial(lane.leave, caller), TAKE_S)
                except grpc.aio.BaseError:
                    raise _over() from None
                except asyncio.CancelledError:
                    await self._cut(context)
                except SlowReader as error:
                    await self._refuse_stalled(context, fault_of(error))
                except Exception as error:  # noqa: BLE001 - the table has a row for all others.
                    fault = fault_of(error)
                else:
                    return answer
                # gRPC and what it raises here hold each other until the garbage collector comes by:
                # without the request, and without the error, whose traceback holds it, too.
                del request
                await _refuse(context, fault)
            finally:
                # Only now: a stalled stream holds what it holds until all of it is over.
                if not is_held:
                    lane.leave(caller)

        return handle

    def _turning_away(self, lane: Lane, *, streaming: bool) -> grpc.RpcMethodHandler[bytes, Any]:
        """For a full lane. It takes a stream of requests, so that gRPC does not read any for it."""

        async def refuse(_: object, context: Context) -> None:
            self._open.enter(context)
            await _refuse(context, fault_of(Stopping() if self._closing else lane.shed()))

        make = (
            grpc.stream_stream_rpc_method_handler
            if streaming
            else grpc.stream_unary_rpc_method_handler
        )
        return make(refuse)

    async def _cut(self, context: Context) -> NoReturn:
        """Where a call was cancelled: by its caller, or by `finish`, which tells the caller."""
        task = asyncio.current_task()
        if not self._open.cutting or task is None:
            raise asyncio.CancelledError
        task.uncancel()
        await self._refuse_stalled(context, fault_of(Stopping()))

    async def _refuse_stalled(self, context: Context, fault: Fault) -> NoReturn:
        """The status stands in line behind what the reader does not take.

        gRPC offers no way to reset a stream from this side: leaving would free nothing, and nobody
        would count it any more. So the call is waited for, until the connection is over.
        """
        status = asyncio.create_task(_refuse(context, fault))
        try:
            await asyncio.wait({status}, timeout=_LAST_WORDS_S)
            if not status.done():
                self._open.abandon(context)
            await status
        except grpc.aio.AbortError:
            raise
        except grpc.aio.BaseError:
            raise _over() from None
        finally:
            status.cancel()
        raise _over()


class _Door(NamedTuple):
    """What leads to a method, and what stands there while its lane is full."""

    lane: Lane
    handler: grpc.RpcMethodHandler[bytes, Any]
    turning_away: grpc.RpcMethodHandler[bytes, Any]


class _Doors(grpc.GenericRpcHandler):
    """The methods of a service, by path. Who finds a lane full is not even read."""

    def __init__(self, doors: Mapping[str, _Door]) -> None:
        self._doors = doors

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, Any] | None:
        """See grpc.GenericRpcHandler."""
        door = self._doors.get(handler_call_details.method)
        if door is None:
            return None
        return door.turning_away if door.lane.is_full else door.handler


async def _refuse(context: Context, fault: Fault) -> NoReturn:
    try:
        await context.abort(fault.code, fault.message, fault.trailers())
    except grpc.aio.AbortError:
        raise
    except grpc.aio.BaseError:
        raise _over() from None
    raise _over()


def _over() -> asyncio.CancelledError:
    """For gRPC, of a call whose caller is gone: it would log any other error with a traceback."""
    return asyncio.CancelledError("the call is over already")
