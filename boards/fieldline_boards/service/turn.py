"""Where a tool's downlinks begin to count (wire.md 3.7).

Rules: nothing is stored. A gateway counts its runs on its disk; a tool takes run and counter from the clock, so that
what it sends is newer than what any tool, on any computer, sent before, and no nonce comes twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from fieldline_boards.errors import BoardError
from fieldline_wire.seal import MAX_RUN

TOOL = 0
"""The gateway id that no gateway has."""
BEGAN_MS = 1_735_689_600_000
"""2025-01-01 UTC, in Unix milliseconds: run 0. A clock that says less was never set."""
RUN_MS = 64_000
"""Of a run: three bytes of runs last until 2059, and a millisecond within fits in two bytes."""
_MS_SHIFT = 16
_LUCK_BITS = 15
"""Two tools in the same millisecond still differ; half of a millisecond's counters stay for what a tool says."""


@dataclass(slots=True)
class Turn:
    """(gateway, run) of one tool's start, and the counter of its next downlink."""

    run: int
    counter: int
    gateway: int = TOOL


def begin(now_ms: int, random_bits: Callable[[int], int] = secrets.randbits) -> Turn:
    """The turn of a tool that starts at `now_ms`, Unix milliseconds; BoardError where that cannot be the time."""
    run, within = divmod(now_ms - BEGAN_MS, RUN_MS)
    if not 0 <= run <= MAX_RUN:
        raise BoardError(
            "this computer's clock is wrong (a node tells old messages from new ones by it): set it, then again"
        )
    return Turn(run, within << _MS_SHIFT | random_bits(_LUCK_BITS))
