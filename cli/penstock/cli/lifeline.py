"""How a process learns that whoever started it is gone, even if that one was killed."""

import os
import signal
import sys
import threading
import time
from typing import Final

__all__ = ["stop_with_parent"]

_PATIENCE_S: Final = 60.0


def stop_with_parent() -> None:
    """Send this process SIGTERM when stdin ends; end it, should it not have stopped after 60 s.

    The parent holds the other end of that pipe, and the system closes it however the parent
    ends. Chosen over PR_SET_PDEATHSIG, which exists on Linux alone and follows a thread.
    """
    threading.Thread(target=_watch, name="lifeline", daemon=True).start()


def _watch() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os._exit(1)  # Nobody is left who would notice that it hangs.
