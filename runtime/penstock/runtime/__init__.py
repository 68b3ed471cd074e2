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
    RuntimeFault,
    ServerStartError,
)
from penstock.runtime.logging import LogFormat, LogLevel, configure_logging, redact
from penstock.runtime.loop import EventLoop, run, stop_signals
from penstock.runtime.settings import RedisSettings, Settings, default_data_dir

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
    "RedisSettings",
    "RuntimeFault",
    "ServerStartError",
    "Settings",
    "Startable",
    "configure_logging",
    "default_data_dir",
    "jittered",
    "redact",
    "run",
    "stop_signals",
]
