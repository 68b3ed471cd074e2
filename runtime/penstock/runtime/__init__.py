"""What every Penstock process shares: components, settings, logs, the event loop.

The embedded server is in ``penstock.runtime.embedded``, apart: it needs a POSIX system.
"""

from penstock.runtime.backoff import Backoff, jittered
from penstock.runtime.component import Component, Group, Periodic, Startable
from penstock.runtime.errors import (
    BinaryNotFoundError,
    ConfigurationError,
    DataDirInUseError,
    EmbeddedServerError,
    ProcessDied,
    RuntimeFault,
    ServerStartError,
)
from penstock.runtime.lifeline import stop_with_supervisor, tell_fault, tell_up
from penstock.runtime.logging import LogFormat, LogLevel, configure_logging, redact
from penstock.runtime.loop import EventLoop, run, stop_signals
from penstock.runtime.settings import RedisSettings, Settings, default_data_dir
from penstock.runtime.supervisor import SupervisedProcess, Supervisor, environment_of

__all__ = [
    "Backoff",
    "BinaryNotFoundError",
    "Component",
    "ConfigurationError",
    "DataDirInUseError",
    "EmbeddedServerError",
    "EventLoop",
    "Group",
    "LogFormat",
    "LogLevel",
    "Periodic",
    "ProcessDied",
    "RedisSettings",
    "RuntimeFault",
    "ServerStartError",
    "Settings",
    "Startable",
    "SupervisedProcess",
    "Supervisor",
    "configure_logging",
    "default_data_dir",
    "environment_of",
    "jittered",
    "redact",
    "run",
    "stop_signals",
    "stop_with_supervisor",
    "tell_fault",
    "tell_up",
]
