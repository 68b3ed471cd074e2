"""Where settings come from besides arguments and PENSTOCK_ variables."""

import os
import tomllib
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from penstock.runtime.errors import ConfigurationError

CONFIG_VARIABLE: Final = "PENSTOCK_CONFIG"
ENV_PREFIX: Final = "PENSTOCK_"
SECTIONS: Final = frozenset({"cli", "client", "server", "worker"})
_SCHEMES: Final = ("redis", "rediss", "unix")
_MAX_PORT: Final = 65535


class ConventionalRedisSource(PydanticBaseSettingsSource):
    """The variables by which platforms hand out a Redis address: REDIS_URL, REDIS_HOST and kin."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: this source gives one field, by __call__."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return ``redis_url``, if the settings have such a field and the environment an address.

        Raises:
            ConfigurationError: A part of the address is malformed.
        """
        if "redis_url" not in self.settings_cls.model_fields:
            return {}
        url = os.environ.get("REDIS_URL") or _url_of_parts()
        return {"redis_url": url} if url else {}


class FileSource(PydanticBaseSettingsSource):
    """The TOML file that PENSTOCK_CONFIG names.

    Args:
        settings_cls: The settings to be filled.
        section: The table that belongs to them.
        shared: The names that may stand at the top level, whether or not these settings have
            them; one file serves all roles.
    """

    def __init__(
        self, settings_cls: type[BaseSettings], *, section: str | None, shared: frozenset[str]
    ) -> None:
        super().__init__(settings_cls)
        self._section = section
        self._shared = shared

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Unused: this source gives all fields at once, by __call__."""
        del field
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return what the file says about these settings.

        Raises:
            ConfigurationError: The file cannot be read, is not TOML, or holds an unknown name.
        """
        name = os.environ.get(CONFIG_VARIABLE)
        if not name:
            return {}
        content = _read(Path(name))
        tables = {key for key, value in content.items() if isinstance(value, dict)}
        if unknown := sorted((content.keys() - tables - self._shared) | (tables - SECTIONS)):
            raise ConfigurationError(
                f"{name} ({CONFIG_VARIABLE}) holds unknown names: {', '.join(unknown)}. Its top "
                f"level takes {', '.join(sorted(self._shared))}, and its tables are "
                f"{', '.join(sorted(SECTIONS))}",
                fields=tuple(unknown),
            )
        fields = self.settings_cls.model_fields
        top = {key: value for key, value in content.items() if key in fields and key not in tables}
        return top | (content.get(self._section, {}) if self._section else {})


def check_redis_url(url: str) -> None:
    """Check the form of a Redis address.

    Raises:
        ValueError: It is malformed; the message says how, and never quotes it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"the port must be a number from 1 to {_MAX_PORT}") from None
    if parts.scheme not in _SCHEMES:
        raise ValueError("must begin with redis://, rediss:// or unix://")
    if parts.scheme == "unix":
        if not parts.path.startswith("/"):
            raise ValueError("must hold the socket's absolute path: unix:///run/valkey.sock")
        return
    if not parts.hostname:
        raise ValueError(f"must hold a host: {parts.scheme}://host:6379/0")
    if port == 0:
        raise ValueError(f"the port must be a number from 1 to {_MAX_PORT}")
    if parts.path not in ("", "/") and not parts.path[1:].isdecimal():
        raise ValueError("the database must be a number: redis://host:6379/0")


def _url_of_parts() -> str | None:
    host = os.environ.get("REDIS_HOST")
    if not host:
        return None
    port = _number("REDIS_PORT", default=6379, least=1, most=_MAX_PORT)
    database = _number("REDIS_DB", default=0, least=0, most=2**31 - 1)
    user = quote(os.environ.get("REDIS_USERNAME", ""), safe="")
    password = quote(os.environ.get("REDIS_PASSWORD", ""), safe="")
    credentials = f"{user}:{password}@" if password else (f"{user}@" if user else "")
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"  # A literal IPv6 address.
    return f"redis://{credentials}{host}:{port}/{database}"


def _number(variable: str, *, default: int, least: int, most: int) -> int:
    text = os.environ.get(variable)
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and least <= int(text) <= most):
        raise ConfigurationError(
            f"{variable} must be a number from {least} to {most}", fields=("redis_url",)
        )
    return int(text)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{path}, which {CONFIG_VARIABLE} names, cannot be read: {error.strerror}"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"{path}, which {CONFIG_VARIABLE} names, is not TOML: {error}"
        ) from error
