"""Who owns a data folder: one live process at a time, and a note of who it is."""

import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.runtime.errors import DataDirInUseError

LOCK_NAME: Final = "penstock.lock"
_POLL_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Owner:
    """What an owner writes down about itself, for the message that a second one gets."""

    pid: int
    url: str


class DataDirLock:
    """An exclusive lock on a data folder, held for as long as its file descriptor is open.

    It is an flock: it belongs to the open file, not to the process. Handed to the server as an
    inherited descriptor, it stays held until that server is gone too, even if its parent was
    killed; two servers can never append to one file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The open descriptor, to be inherited by the server.

        Raises:
            RuntimeError: The lock is not held.
        """
        if self._fd is None:
            raise RuntimeError("the data folder is not locked")
        return self._fd

    def acquire(self, *, patience_s: float) -> None:
        """Take the lock; the folder must exist.

        Args:
            patience_s: How long to wait for an owner that is on its way out, in seconds.

        Raises:
            DataDirInUseError: It is still held after that.
        """
        fd = os.open(self._folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        give_up = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < give_up:
                    time.sleep(_POLL_S)
                    continue
                owner = _read(fd)
                os.close(fd)
                raise _in_use(self._folder, owner) from None
            except BaseException:
                os.close(fd)
                raise
            self._fd = fd
            return

    def note(self, owner: Owner) -> None:
        """Write down who holds the lock."""
        os.ftruncate(self.fd, 0)
        os.pwrite(self.fd, json.dumps({"pid": owner.pid, "url": owner.url}).encode(), 0)

    def release(self) -> None:
        """Let go; does nothing if the lock is not held."""
        if self._fd is not None:
            # The note goes with the lock. The file stays: removing it would let two processes
            # lock two different files of that name.
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None


def check_data_dir(folder: Path) -> None:
    """Refuse a folder that another live process owns; changes nothing, waits for nobody.

    Args:
        folder: It need not exist: nobody owns it then.

    Raises:
        DataDirInUseError: It is owned.
    """
    if (folder / LOCK_NAME).exists():
        lock = DataDirLock(folder)
        lock.acquire(patience_s=0)
        lock.release()


def _read(fd: int) -> Owner | None:
    try:
        note = json.loads(os.pread(fd, 4096, 0))
        return Owner(pid=int(note["pid"]), url=str(note["url"]))
    except (ValueError, KeyError, TypeError):
        return None


def _in_use(folder: Path, owner: Owner | None) -> DataDirInUseError:
    if owner is None:
        return DataDirInUseError(
            f"{folder} is in use by another process: stop it, or choose another folder with "
            "PENSTOCK_DATA_DIR"
        )
    return DataDirInUseError(
        f"{folder} is in use by the server with pid {owner.pid}: share it with "
        f"PENSTOCK_REDIS_URL={owner.url}, stop it, or choose another folder with "
        "PENSTOCK_DATA_DIR",
        pid=owner.pid,
        url=owner.url,
    )
