"""A job that somebody submitted, and what can be done with it."""

# ruff: noqa: ASYNC109 - a blocking caller has the same parameters, and no asyncio.timeout.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

if TYPE_CHECKING:
    from penstock.client.job import Job, SubmitOutcome, Submitted
    from penstock.client.job_calls import AsyncJobCalls
    from penstock.client.watch import AsyncWatch

T = TypeVar("T")


class AsyncJobHandle:
    """One job, by its id.

    Attributes:
        job_id: of the job.
        submitted: receipt of the submit; None for a handle that was made from an id.
    """

    __slots__ = ("_client", "job_id", "submitted")

    def __init__(self, client: AsyncJobCalls, job_id: str, submitted: Submitted | None) -> None:
        self._client = client
        self.job_id = job_id
        self.submitted = submitted

    @property
    def outcome(self) -> SubmitOutcome | None:
        """What became of the submit; None for a handle that was made from an id."""
        return self.submitted.outcome if self.submitted else None

    @overload
    async def result(self, *, timeout: float | None = None) -> Any: ...  # noqa: ANN401 - what the handler returned.
    @overload
    async def result(self, result_type: type[T] | None, *, timeout: float | None = None) -> T: ...
    async def result(
        self, result_type: type[T] | None = None, *, timeout: float | None = None
    ) -> T | Any:
        """See `AsyncClient.result`. Of a hit in the cache, it is mostly here already."""
        if self.submitted is not None and self.submitted.result_content is not None:
            told = self.submitted.result_content
            return told.decode() if result_type is None else told.decode_as(result_type)
        return await self._client.result(self.job_id, result_type, timeout=timeout)

    async def status(
        self, *, include_payload: bool = False, rpc_timeout: float | None = None
    ) -> Job:
        """See `AsyncClient.status`."""
        return await self._client.status(
            self.job_id, include_payload=include_payload, rpc_timeout=rpc_timeout
        )

    async def wait(self, *, timeout: float | None = None, raise_on_failure: bool = False) -> Job:
        """See `AsyncClient.wait`."""
        return await self._client.wait(
            self.job_id, timeout=timeout, raise_on_failure=raise_on_failure
        )

    def watch(self, *, after: int = 0, reconnect_for: float | None = None) -> AsyncWatch:
        """See `AsyncClient.watch`."""
        return self._client.watch(self.job_id, after=after, reconnect_for=reconnect_for)

    async def cancel(self, reason: str = "", *, rpc_timeout: float | None = None) -> Job:
        """See `AsyncClient.cancel`."""
        return await self._client.cancel(self.job_id, reason, rpc_timeout=rpc_timeout)

    async def retry(
        self, *, request_id: str = "", rpc_timeout: float | None = None
    ) -> AsyncJobHandle:
        """See `AsyncClient.retry`."""
        return await self._client.retry(self.job_id, request_id=request_id, rpc_timeout=rpc_timeout)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.job_id!r})"
