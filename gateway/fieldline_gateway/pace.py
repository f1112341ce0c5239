"""How a sink's backlog goes out beside what is live: settings, a token bucket, and what counts as fresh.

Rules: pure; the time is an argument, in seconds of a clock that never steps.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import inf

SWITCH_S = 0.0005
"""How long one thread of the gateway may keep the others waiting (sys.setswitchinterval). A reading takes the loop,
the disk's thread and the loop again; at Python's 5 ms a backlog that is being decoded is in the way at each step."""
BUCKET_S = 0.25
"""A bucket holds the tokens of so long: short bursts, and few wake-ups."""
AGE_STEP_S = 0.25
"""How exactly the age of a record is known."""
LEAST_AHEAD = 16
"""Readings of backlog in flight, whatever the delay: with none nothing would be measured."""
BASE_S = 30.0
"""For so long, and as long again, the shortest time is remembered: a way may become longer."""
LEAST_QUEUE_S = 0.002
"""A queue that is no longer than this is none: a turn of the loop and a sync take as long."""
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
    backlog_ahead: int = 500
    """Readings of backlog that are in flight at most, where they delay nothing (Ahead)."""


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


class Ahead:
    """How many readings of backlog may be in flight: as many as do not queue up in front of what is live.

    After LEDBAT (RFC 6817): the delay that they cause tells. One of them at a time is timed from when the sink was
    given it to its commit; the shortest time of the last while is the way's own, what is above it is queue. What is
    live waits in the same queue, so it may be as long as the way itself and no longer.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.allowed = min(LEAST_AHEAD, most)
        self._timed: tuple[int, int, float] | None = None  # class, sequence number, when it was given
        self._shortest = [inf, inf]  # of the while that runs, of the one before
        self._since = 0.0

    def forget(self) -> None:
        """What is in flight will be given again."""
        self._timed = None

    def given(self, cls: int, seq: int, now: float) -> None:
        """The sink was given a record of backlog."""
        if self._timed is None:
            self._timed = cls, seq, now

    def delivered(self, cls: int, seq: int, now: float) -> None:
        """It committed one."""
        if self._timed is None or self._timed[:2] != (cls, seq):
            return
        took = now - self._timed[2]
        self._timed = None
        least = min(LEAST_AHEAD, self._most)
        if now - self._since > BASE_S:
            self._since = now
            self._shortest = [inf, self._shortest[0]]
            self.allowed = least  # a queue of our own is no way: look once without it
            return
        self._shortest[0] = min(self._shortest[0], took)
        base = min(self._shortest)
        queue, bound = took - base, max(base, LEAST_QUEUE_S)
        if queue > bound:
            self.allowed = max(least, self.allowed * 3 // 4)
        else:
            self.allowed = min(
                self._most, self.allowed + max(1, self.allowed // (2 if queue < bound / 4 else 8))
            )


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
