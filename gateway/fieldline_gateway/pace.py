"""How a sink's backlog goes out beside what is live: settings, a token bucket, and what counts as fresh.

Rules: pure; the time is an argument, in seconds of a clock that never steps.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

SWITCH_S = 0.0005
"""How long one thread of the gateway may keep the others waiting (sys.setswitchinterval). A reading takes the loop,
the disk's thread and the loop again; at Python's 5 ms a backlog that is being decoded is in the way at each step."""
BUCKET_S = 0.25
"""A bucket holds the tokens of so long: short bursts, and few wake-ups."""
AGE_STEP_S = 0.25
"""How exactly the age of a record is known."""
MAX_FRESH_S = 600
"""Ages are kept for so long: a reading that waited for ten minutes is nobody's present."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Live before backlog."""

    fresh_s: float = 10.0
    """A record that waited longer here, or from before the start, is backlog. At most MAX_FRESH_S."""
    backlog_per_s: int = 0
    """Readings of backlog a second; 0: as fast as they are acknowledged. Live readings go first at any rate,
    so a bound is for the sake of the uplink's price or of the servers behind it."""
    backlog_ahead: int = 250
    """Readings of backlog that are in flight at most: what is live waits behind no more than these."""


class Bucket:
    """Tokens that come at `per_s`; 0: as many as one likes."""

    def __init__(self, per_s: int, now: float) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * BUCKET_S)
        self._tokens = self._most
        self._at = now

    def available(self, now: float) -> bool:
        """Whether something may be taken."""
        self._tokens = min(self._most, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        return not self._per_s or self._tokens >= 1

    def most(self) -> int | None:
        """How much may be taken at once; None: no bound."""
        return max(1, int(self._tokens)) if self._per_s else None

    def take(self, count: int) -> None:
        """What one report needs too much is paid back before anything else goes."""
        self._tokens -= count

    def wait_s(self) -> float:
        """Until something is available."""
        return max(0.0, 1 - self._tokens) / self._per_s if self._per_s else 0.0


class Ages:
    """When the records of a class reached the disk, to AGE_STEP_S."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._seqs: list[int] = []

    def note(self, now: float, first_seq: int) -> None:
        """The records from `first_seq` on are on disk since now."""
        if self._times and now - self._times[-1] < AGE_STEP_S:
            return
        self._times.append(now)
        self._seqs.append(first_seq)
        if self._times[0] < now - 2 * MAX_FRESH_S:
            old = bisect_left(self._times, now - MAX_FRESH_S)
            del self._times[:old], self._seqs[:old]

    def fresh_from(self, now: float, age_s: float) -> int | None:
        """The first record that is on disk for `age_s` at most; None where all are older."""
        at = bisect_left(self._times, now - age_s)
        return self._seqs[at] if at < len(self._seqs) else None
