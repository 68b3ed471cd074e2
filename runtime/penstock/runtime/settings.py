"""Settings that all processes share, and how any process reads its own.

A role's settings are a subclass::

    class GatewaySettings(RedisSettings):
        section: ClassVar[str | None] = "server"

        port: int = Field(default=50051, ge=0, le=65535)
        "The port to listen on; 0 finds a free one."


    settings = GatewaySettings.load(port=arguments.port)

Precedence, from weakest to strongest: the default; the TOML file that PENSTOCK_CONFIG names (its
top level, then the table of the role's section); the environment (``PENSTOCK_`` + the field's
name); the flag, that is, an argument of load() that is not None.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from penstock.runtime._sources import (
    CONFIG_VARIABLE,
    ENV_PREFIX,
    ConventionalRedisSource,
    FileSource,
    check_redis_url,
)
from penstock.runtime.errors import ConfigurationError
from penstock.runtime.logging import LogFormat, LogLevel
from penstock.runtime.loop import EventLoop

__all__ = ["RedisSettings", "Settings", "default_data_dir"]

_lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)


class Settings(BaseSettings):
    """What every process reads. Made by load(), immutable from then on."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )

    section: ClassVar[str | None] = None
    """The table of the configuration file that belongs to this role; None has none."""

    namespace: str = Field(default="default", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")
    """The tenant whose jobs this process handles: letters, digits, dots, dashes, underscores."""

    log_level: Annotated[LogLevel, _lower] = "info"
    """The least severe level that is logged: debug, info, warning or error."""

    log_format: Annotated[LogFormat, _lower] = "auto"
    """How logs look: console, json, or auto (console where stderr is a terminal, else json)."""

    event_loop: Annotated[EventLoop, _lower] = "auto"
    """The event loop: asyncio, uvloop, or auto (uvloop where it is installed)."""

    data_dir: Path | None = None
    """The folder of the embedded server; none given is the platform's, see default_data_dir()."""

    @field_validator("data_dir", mode="after")
    @classmethod
    def _expand_home(cls, folder: Path | None) -> Path | None:
        return None if folder is None else folder.expanduser()

    @classmethod
    def load(cls, **flags: Any) -> Self:  # noqa: ANN401 - each field has its own type.
        """Read the settings from every source and check them.

        Args:
            **flags: Fields given on the command line; None means that the flag was not given.

        Raises:
            ConfigurationError: Settings are wrong or missing; every one is listed with its field,
                its environment variable and what is expected, and never with a value.
        """
        try:
            return cls(**{name: value for name, value in flags.items() if value is not None})
        except ValidationError as error:
            # Without its cause: a traceback would show what was entered.
            raise _explained(error) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic's signature; unused.
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise.
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, strongest first (pydantic-settings calls this)."""
        shared = frozenset(RedisSettings.model_fields)
        return (
            init_settings,
            env_settings,
            ConventionalRedisSource(settings_cls),
            FileSource(settings_cls, section=cls.section, shared=shared),
        )


class RedisSettings(Settings):
    """What a process reads that talks to Redis.

    Where the environment gives several addresses, the first of these holds: PENSTOCK_REDIS_URL;
    REDIS_URL; REDIS_HOST with REDIS_PORT, REDIS_USERNAME, REDIS_PASSWORD and REDIS_DB. With none
    at all, no address is configured, and ``penstock dev`` starts the embedded server.
    """

    redis_url: SecretStr | None = None
    """Where Redis or Valkey is: redis://, rediss:// (TLS) or unix://; none given is none."""

    @field_validator("redis_url", mode="after")
    @classmethod
    def _check_redis_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            check_redis_url(url.get_secret_value())
        return url


def default_data_dir() -> Path:
    """Return the folder where this platform keeps a user's data, of Penstock's own.

    It is ``$XDG_DATA_HOME/penstock`` where that variable is set, ``~/Library/Application
    Support/penstock`` on macOS, else ``~/.local/share/penstock``. It may not exist yet.

    Raises:
        ConfigurationError: The user has no home folder.
    """
    configured = os.environ.get("XDG_DATA_HOME", "")
    if Path(configured).is_absolute():  # The standard says: ignore a relative one.
        return Path(configured, "penstock")
    try:
        home = Path.home()
    except RuntimeError as error:
        raise ConfigurationError(
            "there is no home folder to keep the embedded server's data in: set PENSTOCK_DATA_DIR",
            fields=("data_dir",),
        ) from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "penstock"
    return home / ".local" / "share" / "penstock"


def _explained(error: ValidationError) -> ConfigurationError:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = []
    for problem in problems:
        field = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        lines.append(f"{ENV_PREFIX}{field.upper()} (or {field}): {message}" if field else message)
    count = "A setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    return ConfigurationError(
        f"{count} wrong, in the environment, on the command line, or in the file that "
        f"{CONFIG_VARIABLE} names:\n" + "\n".join(f"  {line}" for line in lines),
        fields=tuple(str(problem["loc"][0]) for problem in problems if problem["loc"]),
    )
