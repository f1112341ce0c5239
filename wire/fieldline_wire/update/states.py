"""The updater's state table (update.md 8.6): all changes of state, and nothing else.

Rules: what is not in the table changes nothing: next_state gives None.
"""

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

_TABLE = {
    "offer": (RESTING + (OFFERED, RECEIVING, VERIFYING), OFFERED),
    "envelope": ((OFFERED,), RECEIVING),
    "root": ((OFFERED,), IDLE),
    "payload": ((RECEIVING,), VERIFYING),
    "image": ((VERIFYING,), PENDING),
    "refuse": ((OFFERED, RECEIVING, VERIFYING), REFUSED),
    "boot": ((PENDING, TRIAL), TRIAL),
    "used up": ((TRIAL,), REVERTED),
    "rotten": ((PENDING, TRIAL), REVERTED),
    "failed": ((TRIAL,), TRIAL),
    "confirm": ((TRIAL,), CONFIRMED),
    "active rotten": (RESTING + (OFFERED, RECEIVING, VERIFYING), IDLE),
}


def next_state(state: int, event: str) -> "int | None":
    """The state that `event` leads to; None where it changes nothing."""
    before, after = _TABLE[event]
    return after if state in before else None
