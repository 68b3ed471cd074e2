"""The client, for those who have no event loop: `AsyncClient`, borrowed method by method.

Nothing is implemented here, and no event loop runs: see transport.py for how, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar, overload

from penstock.client.async_client import AsyncCalls
from penstock.client.blocking import Facade, blocking, handing_out, iterate, plain, run
from penstock.client.blocking_transport import BlockingTransport
from penstock.client.channel import Endpoint
from penstock.client.errors import PenstockError
from penstock.client.handle import AsyncJobHandle
from penstock.client.rpc import Rpc
from penstock.client.watch import AsyncWatch
from penstock.client.watch_many import AsyncMergedWatch

if TYPE_CHECKING:
    from types import TracebackType

    from penstock.client.channel import Secure
    from penstock.client.errors import Status
    from penstock.client.events import Event
    from penstock.client.job import SubmitOutcome, Submitted
    from penstock.client.job_calls import Handles

T = TypeVar("T")
Watching = TypeVar("Watching", AsyncWatch, AsyncMergedWatch)


class _Iteration(Facade[Watching]):
    """What the two kinds of watch have in common."""

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        try:
            return run(self._core.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    @property
    def interruption(self) -> Status | None:
        """Why a stream is missing: its last try's failure; None while all of them stand."""
        return self._core.interruption

    def close(self) -> None:
        """Ends the calls and the iteration, also from another thread. Idempotent."""
        run(self._core.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Watch(_Iteration[AsyncWatch]):
    """An iterator over the events of a job, which ends after the terminal one. See `AsyncWatch`."""

    @property
    def job_id(self) -> str:
        """Of the job."""
        return self._core.job_id

    @property
    def cursor(self) -> int:
        """Sequence of the last event given: pass it as ``after`` to go on another time."""
        return self._core.cursor


class MergedWatch(_Iteration[AsyncMergedWatch]):
    """An iterator over the events of several jobs. See `AsyncMergedWatch`.

    Each job has a thread of its own for as long as the watch is open.
    """

    @property
    def cursors(self) -> dict[str, int]:
        """Sequence of the last event given of each job: pass it to go on another time."""
        return self._core.cursors


class JobHandle(Facade[AsyncJobHandle]):
    """A job that somebody submitted, and what can be done with it."""

    __slots__ = ()  # There may be very many.

    @property
    def job_id(self) -> str:
        """Of the job."""
        return self._core.job_id

    @property
    def submitted(self) -> Submitted | None:
        """Receipt of the submit; None for a handle that was made from an id."""
        return self._core.submitted

    @property
    def outcome(self) -> SubmitOutcome | None:
        """What became of the submit; None for a handle that was made from an id."""
        return self._core.outcome

    @overload
    def result(self, *, timeout: float | None = None) -> Any: ...  # noqa: ANN401 - what the handler returned.
    @overload
    def result(self, result_type: type[T] | None, *, timeout: float | None = None) -> T: ...
    def result(
        self, result_type: type[T] | None = None, *, timeout: float | None = None
    ) -> T | Any:
        """See `Client.result`."""
        return run(self._core.result(result_type, timeout=timeout))

    status = blocking(AsyncJobHandle.status)
    wait = blocking(AsyncJobHandle.wait)
    watch = plain(Watch, AsyncJobHandle.watch)
    cancel = blocking(AsyncJobHandle.cancel)

    def retry(self, *, request_id: str = "", rpc_timeout: float | None = None) -> JobHandle:
        """See `Client.retry`."""
        return JobHandle(run(self._core.retry(request_id=request_id, rpc_timeout=rpc_timeout)))

    def __repr__(self) -> str:
        return f"JobHandle({self.job_id!r})"


#: What became of each job of submit_many(): its handle, or why it was not stored.
BlockingHandles: TypeAlias = list[JobHandle | PenstockError]


def _blocking_handles(handles: Handles) -> BlockingHandles:
    return [each if isinstance(each, PenstockError) else JobHandle(each) for each in handles]


class Client(Facade[AsyncCalls]):
    """A client of a gateway that blocks its caller. Threads may share one.

    ::

        with Client() as client:
            handle = client.submit("image.resize", {"path": "a.png", "width": 80})
            for event in handle.watch():
                print(event)
            print(handle.result())

    Arguments and methods are those of `AsyncClient`.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        secure: Secure = False,
        timeout: float = 10.0,
        reconnect_for: float = 300.0,
        retry_for: float | None = None,
        wait_for_ready: bool = False,
    ) -> None:
        transport = BlockingTransport(
            Endpoint.of(address, secure, repeats=retry_for is None), wait_for_ready=wait_for_ready
        )
        super().__init__(AsyncCalls(Rpc(transport, timeout, reconnect_for, retry_for)))

    @property
    def address(self) -> str:
        """Of the gateway."""
        return self._core.address

    submit = handing_out(JobHandle, AsyncCalls.submit)
    submit_many = handing_out(_blocking_handles, AsyncCalls.submit_many)
    submit_and_watch = handing_out(Watch, AsyncCalls.submit_and_watch)
    handle = plain(JobHandle, AsyncCalls.handle)
    status = blocking(AsyncCalls.status)
    wait = blocking(AsyncCalls.wait)
    watch = plain(Watch, AsyncCalls.watch)
    watch_many = plain(MergedWatch, AsyncCalls.watch_many)
    cancel = blocking(AsyncCalls.cancel)
    retry = handing_out(JobHandle, AsyncCalls.retry)
    list = plain(iterate, AsyncCalls.list)
    list_page = blocking(AsyncCalls.list_page)

    @overload
    def result(self, job_id: str, *, timeout: float | None = None) -> Any: ...  # noqa: ANN401 - what the handler returned.
    @overload
    def result(
        self, job_id: str, result_type: type[T] | None, *, timeout: float | None = None
    ) -> T: ...
    def result(
        self, job_id: str, result_type: type[T] | None = None, *, timeout: float | None = None
    ) -> T | Any:
        """See `AsyncClient.result`."""
        return run(self._core.result(job_id, result_type, timeout=timeout))

    queues = blocking(AsyncCalls.queues)
    queue_stats = blocking(AsyncCalls.queue_stats)
    pause_queue = blocking(AsyncCalls.pause_queue)
    resume_queue = blocking(AsyncCalls.resume_queue)
    purge_queue = blocking(AsyncCalls.purge_queue)
    clean_queue = blocking(AsyncCalls.clean_queue)
    redrive = blocking(AsyncCalls.redrive)
    workers = blocking(AsyncCalls.workers)

    set_queue_policy = blocking(AsyncCalls.set_queue_policy)
    queue_policy = blocking(AsyncCalls.queue_policy)
    queue_policies = blocking(AsyncCalls.queue_policies)
    delete_queue_policy = blocking(AsyncCalls.delete_queue_policy)

    publish = blocking(AsyncCalls.publish)
    subscribe = blocking(AsyncCalls.subscribe)
    unsubscribe = blocking(AsyncCalls.unsubscribe)
    subscriptions = blocking(AsyncCalls.subscriptions)
    put_topic_rule = blocking(AsyncCalls.put_topic_rule)
    delete_topic_rule = blocking(AsyncCalls.delete_topic_rule)
    topic_rules = blocking(AsyncCalls.topic_rules)

    create_schedule = blocking(AsyncCalls.create_schedule)
    get_schedule = blocking(AsyncCalls.get_schedule)
    schedules = plain(iterate, AsyncCalls.schedules)
    update_schedule = blocking(AsyncCalls.update_schedule)
    pause_schedule = blocking(AsyncCalls.pause_schedule)
    resume_schedule = blocking(AsyncCalls.resume_schedule)
    delete_schedule = blocking(AsyncCalls.delete_schedule)
    trigger_schedule = handing_out(JobHandle, AsyncCalls.trigger_schedule)
    preview_schedule = blocking(AsyncCalls.preview_schedule)

    invalidate = blocking(AsyncCalls.invalidate)
    health = blocking(AsyncCalls.health)

    close = blocking(AsyncCalls.aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
