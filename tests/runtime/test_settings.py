"""Which source wins, and what an error says."""

import os
import re
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from penstock.runtime import ConfigurationError, RedisSettings, Settings, default_data_dir


class GatewaySettings(RedisSettings):
    """Settings of a role, as one has them."""

    section: ClassVar[str | None] = "server"

    workers: int = Field(default=1, ge=1)
    """How many processes."""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine that runs the tests."""
    for name in list(os.environ):
        if name.startswith(("PENSTOCK_", "REDIS_")):
            monkeypatch.delenv(name)


def address(settings: RedisSettings) -> str | None:
    return None if settings.redis_url is None else settings.redis_url.get_secret_value()


PARTS = {"REDIS_HOST": "parts", "REDIS_PORT": "7000"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        (PARTS, "redis://parts:7000/0"),
        ({"REDIS_PORT": "7000", "REDIS_PASSWORD": "x"}, None),
        ({"REDIS_HOST": "h"}, "redis://h:6379/0"),
        ({"REDIS_HOST": "h", "REDIS_PASSWORD": "p@ss/w:"}, "redis://:p%40ss%2Fw%3A@h:6379/0"),
        (
            {"REDIS_HOST": "h", "REDIS_USERNAME": "u", "REDIS_PASSWORD": "p", "REDIS_DB": "3"},
            "redis://u:p@h:6379/3",
        ),
        ({"REDIS_HOST": "::1"}, "redis://[::1]:6379/0"),
        ({"REDIS_URL": "redis://url", **PARTS}, "redis://url"),
        ({"REDIS_URL": "", **PARTS}, "redis://parts:7000/0"),
        (
            {"PENSTOCK_REDIS_URL": "rediss://ours:6380/1", "REDIS_URL": "redis://url", **PARTS},
            "rediss://ours:6380/1",
        ),
    ],
)
def test_the_redis_address_has_one_precedence(
    environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert address(RedisSettings.load()) == expected


def test_default_then_file_then_environment_then_flag(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert GatewaySettings.load().workers == 1

    file = tmp_path / "penstock.toml"
    file.write_text(
        'namespace = "filed"\nredis_url = "redis://file"\n'
        "[server]\nworkers = 2\n[worker]\nslots = 9\n"
    )
    monkeypatch.setenv("PENSTOCK_CONFIG", str(file))
    settings = GatewaySettings.load(namespace=None, workers=None)
    assert (settings.namespace, settings.workers) == ("filed", 2)
    assert address(settings) == "redis://file"
    assert Settings.load().namespace == "filed"  # A role may lack what others share.

    monkeypatch.setenv("PENSTOCK_WORKERS", "3")
    monkeypatch.setenv("REDIS_URL", "redis://environment")
    settings = GatewaySettings.load()
    assert settings.workers == 3
    assert address(settings) == "redis://environment"

    settings = GatewaySettings.load(workers=4, redis_url="unix:///flag.sock")
    assert settings.workers == 4
    assert address(settings) == "unix:///flag.sock"


@pytest.mark.parametrize(
    "url",
    [
        "unix:///run/valkey.sock?db=1",
        "redis://h",
        "redis://:p@h:6379/0",
        "rediss://u:p@h:6379",
        "redis://[::1]:6379/2",
    ],
)
def test_the_forms_of_an_address(url: str) -> None:
    assert address(RedisSettings.load(redis_url=url)) == url


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "must begin with"),
        ("localhost:6379", "must begin with"),
        ("http://user:hunter2@h", "must begin with"),
        ("redis://", "must hold a host"),
        ("redis://:hunter2@h:port", "the port must be a number"),
        ("redis://h:0", "the port must be a number"),
        ("redis://h/name", "the database must be a number"),
        ("unix://relative.sock", "absolute path"),
    ],
)
def test_a_wrong_address_is_refused_without_being_shown(
    url: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_REDIS_URL", url)
    with pytest.raises(ConfigurationError, match=problem) as caught:
        RedisSettings.load()
    assert "PENSTOCK_REDIS_URL (or redis_url)" in str(caught.value)
    assert caught.value.fields == ("redis_url",)
    assert "hunter2" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_every_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_WORKERS", "none")
    monkeypatch.setenv("PENSTOCK_LOG_LEVEL", "loud")
    monkeypatch.setenv("PENSTOCK_NAMESPACE", "a{b}")
    with pytest.raises(ConfigurationError, match="3 settings are wrong") as caught:
        GatewaySettings.load()
    assert set(caught.value.fields) == {"log_level", "namespace", "workers"}
    for name in ("PENSTOCK_LOG_LEVEL", "PENSTOCK_NAMESPACE", "PENSTOCK_WORKERS"):
        assert name in str(caught.value)
    assert "'debug', 'info', 'warning' or 'error'" in str(caught.value)


@pytest.mark.parametrize("variable", ["REDIS_PORT", "REDIS_DB"])
def test_a_malformed_part_is_named(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_HOST", "h")
    monkeypatch.setenv(variable, "x")
    with pytest.raises(ConfigurationError, match=f"{variable} must be a number"):
        RedisSettings.load()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("namespase = 'x'", "unknown names: namespase"),
        ("[sever]\nport = 1", "unknown names: sever"),
        ("workers = 2", "unknown names: workers"),
        ("[server]\nwokers = 2", "wokers"),
        ("namespace =", "is not TOML"),
    ],
)
def test_a_wrong_file_is_explained(
    content: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "penstock.toml"
    file.write_text(content)
    monkeypatch.setenv("PENSTOCK_CONFIG", str(file))
    with pytest.raises(ConfigurationError, match=problem) as caught:
        GatewaySettings.load()
    assert "PENSTOCK_CONFIG" in str(caught.value)


def test_a_missing_file_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PENSTOCK_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(ConfigurationError, match=r"cannot be read: No such file"):
        Settings.load()


def test_an_unknown_flag_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="nonsense"):
        Settings.load(nonsense=1)


def test_a_secret_is_never_printed() -> None:
    settings = RedisSettings.load(redis_url="redis://:hunter2@h")
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump_json()}"


def test_words_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_LOG_LEVEL", "DEBUG")
    monkeypatch.setenv("PENSTOCK_EVENT_LOOP", "UVloop")
    settings = Settings.load()
    assert (settings.log_level, settings.event_loop) == ("debug", "uvloop")


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    assert default_data_dir().is_relative_to(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    assert default_data_dir() == tmp_path / "xdg" / "penstock"
    assert Settings.load(data_dir="~/here").data_dir == tmp_path / "here"


@pytest.mark.parametrize("model", [Settings, RedisSettings])
def test_every_setting_is_documented(model: type[Settings]) -> None:
    for name, field in model.model_fields.items():
        assert re.fullmatch(r"[A-Z].*\.", field.description or ""), f"{name} lacks a sentence"
