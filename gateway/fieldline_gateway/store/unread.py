"""What of one class a sink still has to be sent (docs/store.md 6.6): ranges of sequence numbers, without I/O.

Rules: the ranges are disjoint and in order; the last has no end (live), those before it are backlog. Each is
given and committed from its beginning on, whatever the others do. What stands in no range is delivered.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from fieldline_gateway.store.record import Hole

MAX_BACKLOG = 32
"""Ranges of backlog in a class: one an outage while the one before is not sent yet. Where there were more, two
become one, and what was delivered between them is delivered again."""


Given = tuple[int, bytes, int, int]
"""A record that the sink was given and has not committed: sequence number, node, last number (0: it has none), and
what it weighs as backlog (0: it was given as live). A bare tuple: there is one for each record that goes out."""


class Saved(NamedTuple):
    """What is kept on disk of it."""

    live: int
    """The last record delivered of what is live: all up to here is delivered, but the backlog."""
    backlog: tuple[Hole, ...] = ()


@dataclass(slots=True)
class Range:
    """Sequence numbers that are not delivered."""

    first: int
    last: int | None
    """None: all that comes."""
    next: int
    """The first that the sink was not given."""
    given: deque[Given] = field(default_factory=deque)

    @property
    def to_give(self) -> bool:
        return self.last is None or self.next <= self.last


class Unread:
    """The ranges of one class."""

    def __init__(self, saved: Saved) -> None:
        self.backlog = [Range(hole.first, hole.last, hole.first) for hole in saved.backlog]
        self.live = Range(saved.live + 1, None, saved.live + 1)

    def saved(self) -> Saved:
        return Saved(self.live.first - 1, tuple(Hole(r.first, r.last) for r in self.backlog if r.last))

    @property
    def ranges(self) -> Iterator[Range]:
        yield from self.backlog
        yield self.live

    def overtake(self, seq: int) -> bool:
        """Live goes on at `seq`: what was not given before it becomes backlog. Whether that changed anything."""
        live = self.live
        if seq <= live.next or (len(self.backlog) >= MAX_BACKLOG and not self._join()):
            return False
        before = self.backlog[-1] if self.backlog else None
        self.live = Range(seq, None, seq)
        if before and before.last == live.first - 1 and live.next == live.first:
            before.last = seq - 1
        else:
            live.last = seq - 1
            self.backlog.append(live)
        return True

    def _join(self) -> bool:
        """Make one range of the two with the least between them of which the second was not given yet."""
        pairs = [(a, b) for a, b in pairwise(self.backlog) if b.next == b.first]
        if not pairs:
            return False
        into, gone = min(pairs, key=lambda pair: pair[1].first - (pair[0].last or 0))
        into.last = gone.last
        self.backlog.remove(gone)
        return True

    def next_backlog(self) -> Range | None:
        """The range that backlog is given from."""
        return next((each for each in self.backlog if each.to_give), None)

    def commit(self, seq: int) -> list[Given]:
        """All up to `seq` in the range that has it is delivered; what of it had been given."""
        at = bisect_right(self.backlog, seq, key=lambda each: each.first) - 1
        found = self.live
        if seq < found.first:
            if at < 0 or seq > (self.backlog[at].last or 0):
                return []  # delivered before
            found = self.backlog[at]
        done = []
        while found.given and found.given[0][0] <= seq:
            done.append(found.given.popleft())
        found.first = seq + 1
        found.next = max(found.next, found.first)
        if found.last is not None and found.first > found.last:
            self.backlog.remove(found)
        return done

    def rewind(self) -> None:
        """Give again all that is not committed."""
        for each in self.ranges:
            each.next = each.first
            each.given.clear()

    def after(self, seq: int) -> int:
        """The first that is not delivered, from `seq` on."""
        for each in self.ranges:
            if each.last is None or each.last >= seq:
                return max(each.first, seq)
        raise AssertionError("the last range has no end")

    def within(self, hole: Hole) -> Iterator[Hole]:
        """What of `hole` is not delivered."""
        for each in self.ranges:
            first, last = max(each.first, hole.first), min(each.last or hole.last, hole.last)
            if first <= last:
                yield Hole(first, last)

    def lag(self, durable_seq: int) -> int:
        """Records on disk that are not delivered."""
        return max(0, durable_seq - self.live.first + 1) + self.waiting

    @property
    def waiting(self) -> int:
        """Records of backlog."""
        return sum((each.last or 0) - each.first + 1 for each in self.backlog)


def union(holes: Iterable[Hole]) -> list[Hole]:
    """The same sequence numbers as disjoint ranges in order."""
    out: list[Hole] = []
    for hole in sorted(holes, key=lambda each: (each.first, each.last)):
        if out and hole.first <= out[-1].last + 1:
            out[-1] = Hole(out[-1].first, max(out[-1].last, hole.last))
        else:
            out.append(hole)
    return out
