"""The worker: handlers of jobs, and the process that runs them. See `app.Worker`."""

from penstock.worker.app import Worker, load_app
from penstock.worker.codec import PayloadInvalid, ResultInvalid
from penstock.worker.context import Context, MessageInfo
from penstock.worker.errors import AppNotFoundError, HandlerDefinitionError, WorkerFault
from penstock.worker.service import WorkerService, serve
from penstock.worker.settings import WorkerSettings
from penstock.worker.signals import Cancel, Retry, Stopped, StopReason
from penstock.worker.sync_context import SyncContext

__all__ = [
    "AppNotFoundError",
    "Cancel",
    "Context",
    "HandlerDefinitionError",
    "MessageInfo",
    "PayloadInvalid",
    "ResultInvalid",
    "Retry",
    "StopReason",
    "Stopped",
    "SyncContext",
    "Worker",
    "WorkerFault",
    "WorkerService",
    "WorkerSettings",
    "load_app",
    "serve",
]
