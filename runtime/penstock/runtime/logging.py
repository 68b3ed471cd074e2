"""Logs: structured, one line an event, on stderr, without secrets.

Ours come through structlog (``structlog.get_logger(__name__)``), those of libraries through the
standard library's logging; both leave by the same handler in the same form.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal

import structlog

__all__ = ["LogFormat", "LogLevel", "configure_logging", "redact"]

LogFormat = Literal["auto", "console", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]

_MASK: Final = "***"
_SECRET_FIELDS: Final = frozenset({"authorization", "password", "secret"})
# The password of a URL, up to the last @ before a slash: one in it should be escaped, and often
# is not.
_URL_PASSWORD: Final = re.compile(
    r"(?P<start>\b[a-z][a-z0-9+.-]*://[^\s:/@]*):[^\s/]*@", re.IGNORECASE
)


def configure_logging(level: LogLevel = "info", log_format: LogFormat = "auto") -> None:
    """Send all logs to stderr; called once, when a process starts (and harmless if repeated).

    Args:
        level: The least severe level that is shown.
        log_format: ``console`` for people, ``json`` for machines; ``auto`` is console where
            stderr is a terminal, else json.
    """
    if log_format == "auto":
        log_format = "console" if sys.stderr.isatty() else "json"
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # Module loggers exist before this is called.
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact_event,  # Last, so that tracebacks are covered as well.
                _renderer(log_format),
            ],
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def redact(text: str) -> str:
    """Return ``text`` with the password of every URL in it masked."""
    return _URL_PASSWORD.sub(rf"\g<start>:{_MASK}@", text)


def _redact_event(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for field, value in event.items():
        if field.lower() in _SECRET_FIELDS:
            event[field] = _MASK
        elif isinstance(value, str):
            event[field] = redact(value)
        elif not isinstance(value, (bool, int, float, type(None))):
            event[field] = _redact_inside(value)
    return event


def _redact_inside(value: object) -> object:
    """Redact a collection, an exception or another object that a field holds."""
    if isinstance(value, dict):
        return {
            key: _MASK if str(key).lower() in _SECRET_FIELDS else _redact_inside(inner)
            for key, inner in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_redact_inside(inner) for inner in value]
    if isinstance(value, (bool, int, float, type(None))):
        return value
    return redact(str(value))


def _renderer(log_format: LogFormat) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        timestamp_key="time",
        exception_formatter=structlog.dev.plain_traceback,
    )
