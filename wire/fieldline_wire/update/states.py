"""The updater's state table (update.md 8.6): all changes of state, and nothing else.

Rules: what is not in the table changes nothing: next_state gives None. A boot loads it: a row is one number.
"""

from fieldline_wire.codes import const
from fieldline_wire.update.codes import (
    CONFIRMED,
    IDLE,
    OFFERED,
    PENDING,
    RECEIVING,
    REFUSED,
    REVERTED,
    TRIAL,
    VERIFYING,
)

RESTING = (IDLE, CONFIRMED, REVERTED, REFUSED)

# Sets of states, bit n for state n
_REST = const(0b111000001)  # as RESTING
_BUSY = const(0b1110)  # OFFERED, RECEIVING, VERIFYING
_BOOT = const(0b110000)  # PENDING, TRIAL

# Event to: states before it << 4 | state after it
_TABLE = {
    "offer": (_REST | _BUSY) << 4 | OFFERED,
    "envelope": 1 << OFFERED << 4 | RECEIVING,
    "root": 1 << OFFERED << 4 | IDLE,
    "payload": 1 << RECEIVING << 4 | VERIFYING,
    "image": 1 << VERIFYING << 4 | PENDING,
    "refuse": _BUSY << 4 | REFUSED,
    "boot": _BOOT << 4 | TRIAL,
    "again": _BOOT << 4 | PENDING,
    "used up": _BOOT << 4 | REVERTED,
    "rotten": _BOOT << 4 | REVERTED,
    "failed": 1 << TRIAL << 4 | TRIAL,
    "confirm": 1 << TRIAL << 4 | CONFIRMED,
    "active rotten": (_REST | _BUSY) << 4 | IDLE,
}


def next_state(state: int, event: str) -> "int | None":
    """The state that `event` leads to; None where it changes nothing."""
    row = _TABLE[event]
    return row & 15 if row >> 4 >> state & 1 else None
