"""How a child process is kept from outliving its worker, whatever its handler is at.

The end of its socket is not enough: the thread that reads it needs the interpreter's lock, which a
handler inside one long call into C may hold for hours. On Linux the kernel does it: it kills the
child. On other systems such a child ends as soon as that call returns.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

__all__ = ["tie_to_parent"]

PR_SET_PDEATHSIG: Final = 1  # From <linux/prctl.h>.


def tie_to_parent(parent: int) -> None:
    """Has the kernel kill this process once the thread that started it ends. Linux alone.

    Args:
        parent: Process id of who started this process. If it is gone by now, this process ends at
            once, since no signal will come of that any more.
    """
    if sys.platform != "linux":
        return
    number = ctypes.c_ulong(signal.SIGKILL)
    # Refused only for a signal that there is not, so that the answer tells nothing.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, *[ctypes.c_ulong(0)] * 3)
    if os.getppid() != parent:
        os._exit(0)
