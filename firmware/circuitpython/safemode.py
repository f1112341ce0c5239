"""Runs where CircuitPython did not dare to run code.py: after a hard fault, a brown-out, a failed flash write.

Rules: a node does not wait for a person, it starts again; unless a person asked for safe mode by program. Safe
mode that was asked for by a button does not come here.
"""

import time

import microcontroller
import supervisor

PAUSE_S = 10  # for a supply that is just coming up; and a loop of faults costs one boot each time

if supervisor.runtime.safe_mode_reason != supervisor.SafeModeReason.PROGRAMMATIC:
    time.sleep(PAUSE_S)
    microcontroller.reset()
