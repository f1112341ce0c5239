"""The node's wall clock: uptime until a gateway has told the time (wire.md 5.15).

Rules: `now` is ms since the start and comes in as an argument; a reading keeps the clock that it was taken by.
The answer to a Hello is right to a second, that to a question of its own to half the round trip.
"""

from fieldline_wire.codes import const

MAX_ROUND_TRIP_MS = const(5000)  # wire.md 5.15
ASK_EVERY_MS = const(3600000)  # crystals drift 50 ppm: 0.2 s in this time
RETRY_MS = const(30000)  # a lost question costs no more than this

_U32 = 0xFFFFFFFF


class Clock:
    """Unix time, once it is set."""

    __slots__ = ("_ask_at", "_asked", "_offset")

    def __init__(self) -> None:
        self._offset = None  # ms from uptime to Unix time
        self._ask_at = 0
        self._asked = None  # uptime of the last question

    def is_set(self) -> bool:
        """Whether a gateway has told the time."""
        return self._offset is not None

    def stamp(self, now: int) -> "tuple[int, int, bool]":
        """(seconds, hundredths, UTC) for a reading taken at `now`: Unix time if UTC, else uptime."""
        ms = now if self._offset is None else now + self._offset
        return ms // 1000, ms % 1000 // 10, self._offset is not None

    def to_utc(self, seconds: int, centis: int) -> "tuple[int, int]":
        """Unix time of a moment of this boot; the clock must be set."""
        ms = seconds * 1000 + centis * 10 + (self._offset or 0)
        return ms // 1000, ms % 1000 // 10

    def ask_due(self, now: int) -> bool:
        """Whether to ask for the time now; once it said so, not again for RETRY_MS."""
        if now < self._ask_at:
            return False
        self._ask_at = now + RETRY_MS
        self._asked = now & _U32
        return True

    def answer(self, now: int, uptime_ms: int, seconds: int, ms: int) -> None:
        """Takes a gateway's answer to what was asked at `uptime_ms`, if it is fresh and better than none."""
        round_trip = (now - uptime_ms) & _U32
        exact = uptime_ms == self._asked
        if round_trip > MAX_ROUND_TRIP_MS or not (exact or self._offset is None):
            return
        self._offset = seconds * 1000 + ms + round_trip // 2 - now
        if exact:
            self._ask_at = now + ASK_EVERY_MS
