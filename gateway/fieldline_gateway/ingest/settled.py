"""Which numbers of one class of one stream are settled: a sparse set of ranges, and the Ack that tells it.

Rules: pure. Numbers count from 1 (wire.md 5.5). A number below the first range may be settled elsewhere, at
a gateway before this one, so nothing is said of it: an Ack's `next` is 1 until number 1 is here, and the
ranges tell the rest.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from fieldline_wire.messages import Ack
from fieldline_wire.readings import MAX_RANGES

MOST_RANGES = 64
"""A node sends in order, at most five reports are in flight (wire.md 6.3): so many holes are no accident."""


class NumberSet:
    """Settled numbers, as ranges (first, last) that ascend and do not touch."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._ranges: (
            list[tuple[int, int]] | tuple[tuple[int, int], ...]
        ) = ()  # a list from the first number on
        for first, last in ranges:
            self.add(first, last)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._ranges)

    @property
    def first(self) -> int:
        """The lowest settled number, 0 where there is none."""
        return self._ranges[0][0] if self._ranges else 0

    @property
    def highest(self) -> int:
        """The highest settled number, 0 where there is none."""
        return self._ranges[-1][1] if self._ranges else 0

    @property
    def count(self) -> int:
        """How many numbers are settled."""
        return sum(last - first + 1 for first, last in self._ranges)

    def add(self, first: int, last: int) -> None:
        """Settle the numbers `first` to `last`."""
        ranges = self._ranges
        if isinstance(ranges, tuple):
            self._ranges = [(first, last)]
            return
        if first == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], last)  # the usual case: the next ones in order
            return
        at = self._at(first)
        if at and ranges[at - 1][1] + 1 >= first:
            at -= 1
            first = ranges[at][0]
        end = at
        while end < len(ranges) and ranges[end][0] <= last + 1:
            last = max(last, ranges[end][1])
            end += 1
        ranges[at:end] = [(first, last)]

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """Of the numbers `first` to `last` those that are not settled, as ranges."""
        if first > self.highest:
            return [(first, last)] if first <= last else []  # the usual case: the next ones in order
        found = []
        at = max(self._at(first) - 1, 0)
        for low, high in self._ranges[at:]:
            if high < first:
                continue
            if low > last:
                break
            if low > first:
                found.append((first, low - 1))
            first = high + 1
        if first <= last:
            found.append((first, last))
        return found

    def too_sparse_for(self, first: int, last: int) -> bool:
        """Whether the numbers `first` to `last`, none of them settled, would make one hole too many."""
        if len(self._ranges) < MOST_RANGES:
            return False
        at = self._at(first)
        touches_below = at > 0 and self._ranges[at - 1][1] + 1 == first
        touches_above = at < len(self._ranges) and self._ranges[at][0] == last + 1
        return not (touches_below or touches_above)

    def ack(self, cls: int, stream: int, status: int = 0, hold: int = 0) -> Ack:
        """The Ack for what is settled (wire.md 5.10): of many ranges the highest."""
        ranges = self._ranges
        if ranges and ranges[0][0] == 1:
            return Ack(cls, stream, ranges[0][1] + 1, status, hold, list(ranges[1:][-MAX_RANGES:]))
        return Ack(cls, stream, 1, status, hold, list(ranges[-MAX_RANGES:]))

    def _at(self, number: int) -> int:
        """How many ranges begin at or below `number`."""
        return bisect_right(self._ranges, number, key=lambda span: span[0])
