"""Why a process cannot start, or cannot go on, as it was asked to.

    RuntimeFault
    +-- ConfigurationError          a setting is missing, malformed or out of range
    +-- EmbeddedServerError         the embedded server
    |   +-- BinaryNotFoundError     no server program on this machine
    |   +-- DataDirInUseError       another live process owns the data folder
    |   +-- ServerStartError        the program did not come up
    +-- ProcessDied                 one of several processes ended by itself

Each message is meant for the person at the terminal: what is wrong, and what to do about it.
"""

__all__ = [
    "BinaryNotFoundError",
    "ConfigurationError",
    "DataDirInUseError",
    "EmbeddedServerError",
    "ProcessDied",
    "RuntimeFault",
    "ServerStartError",
]


class RuntimeFault(Exception):  # noqa: N818 - the root names the family; its leaves are errors.
    """Root of everything that this package raises on purpose."""


class ConfigurationError(RuntimeFault):
    """A setting is missing, malformed or out of range.

    Attributes:
        fields: The names of the settings at fault, as the message lists them.
    """

    def __init__(self, message: str, *, fields: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.fields = fields


class EmbeddedServerError(RuntimeFault):
    """The embedded server cannot be used."""


class BinaryNotFoundError(EmbeddedServerError):
    """There is no server program to run on this machine."""


class DataDirInUseError(EmbeddedServerError):
    """Another live process owns the data folder.

    Attributes:
        pid: The process that owns it, or None if it left no note.
        url: Where its server listens, or None if it left no note.
    """

    def __init__(self, message: str, *, pid: int | None = None, url: str | None = None) -> None:
        super().__init__(message)
        self.pid = pid
        self.url = url


class ServerStartError(EmbeddedServerError):
    """The server program ended, or did not answer, while it was being started."""


class ProcessDied(RuntimeFault):
    """A supervised process ended although nobody had asked it to.

    Attributes:
        fault: What it said was wrong, in words for the person at the terminal; empty if nothing.
    """

    def __init__(self, message: str, fault: str = "") -> None:
        super().__init__(message)
        self.fault = fault
