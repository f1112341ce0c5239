"""Child processes that end with the one that started them, even where that is killed with SIGKILL.

Rules: Linux (prctl PR_SET_PDEATHSIG); elsewhere a child is left behind by a kill. A gateway that was left behind
would go on to open the ports of emulated boards by links that lead to nothing, or to what got the pty's number next.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def ends_with_us() -> Callable[[], None] | None:
    """For `preexec_fn` of a child that is to get SIGTERM when the thread that starts it ends, however it ends."""
    if sys.platform != "linux":
        return None
    parent = os.getpid()
    prctl = ctypes.CDLL(
        None, use_errno=True
    ).prctl  # found here: between fork and exec nothing is to be looked up

    def tie() -> None:
        if prctl(_PR_SET_PDEATHSIG, signal.SIGTERM):
            raise OSError(ctypes.get_errno(), "prctl PR_SET_PDEATHSIG")
        if os.getppid() != parent:  # it ended before we asked
            os.kill(os.getpid(), signal.SIGTERM)

    return tie
