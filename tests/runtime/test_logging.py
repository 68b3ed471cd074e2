"""Logs have one form, and hold no secrets."""

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from penstock.runtime import configure_logging, redact


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was logged so far, once; the logging of the test run is restored afterwards."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    # configure_logging() closes the handlers that it replaces, and pytest still needs these.
    root.handlers.clear()
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_our_logs_and_those_of_libraries_have_one_form(logged: Callable[[], str]) -> None:
    configure_logging("info")
    structlog.get_logger("penstock.gateway").info("started", port=50051)
    logging.getLogger("grpc").warning("slow %s", "call", extra={"peer": "unix:"})
    logging.getLogger("grpc").debug("not shown")
    ours, theirs = lines(logged())
    time = ours.pop("time")
    assert time.endswith("Z")
    assert ours == {
        "event": "started",
        "level": "info",
        "logger": "penstock.gateway",
        "port": 50051,
    }
    del theirs["time"]
    assert theirs == {
        "event": "slow call",
        "level": "warning",
        "logger": "grpc",
        "peer": "unix:",
    }


def test_no_password_is_logged_wherever_it_stands(logged: Callable[[], str]) -> None:
    configure_logging()
    log = structlog.get_logger("penstock")
    url = "redis://user:hunter2@h:6379/0"
    try:
        raise ConnectionError(f"cannot reach {url}")
    except ConnectionError as error:
        log.exception("lost", url=url, error=error, tried=[url], options={"password": "hunter2"})
    log.info("connecting", to=url, password="hunter2")
    logging.getLogger("redis").error("cannot reach %s", url)
    text = logged()
    assert "hunter2" not in text
    assert text.count("redis://user:***@h:6379/0") == 6
    assert "Traceback" in lines(text)[0]["exception"]


def test_the_console_form_is_for_people(logged: Callable[[], str]) -> None:
    configure_logging("debug", "console")
    log = structlog.get_logger("penstock")
    log.debug("ready", workers=2)
    try:
        raise ValueError("redis://:hunter2@h")
    except ValueError:
        log.exception("failed")
    text = logged()
    assert "ready" in text
    assert "workers=2" in text
    assert "ValueError: redis://:***@h" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://:p@h/0 and rediss://u:q@h", "redis://:***@h/0 and rediss://u:***@h"),
        ("redis://u:a@b@h", "redis://u:***@h"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("unix:///run/valkey.sock", "unix:///run/valkey.sock"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    assert redact(text) == expected
