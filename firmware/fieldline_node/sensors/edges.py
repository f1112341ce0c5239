"""Falling edges of a pin, counted and timed by an interrupt.

Rules: on_edge() runs in an interrupt: it allocates nothing, so all it holds are small integers. Numbers are
modulo EDGE_MASK + 1, which is less than the smallest range of time.ticks_us.
"""

from fieldline_wire.codes import const

EDGE_MASK = const(0x1FFFFFFF)  # us (8.9 minutes) and edges; one more is still a small integer everywhere


class EdgeTimer:
    """Counts edges that come later than the reject time after the one before."""

    __slots__ = ("_count", "_last", "_reject", "_ticks_us")

    def __init__(self, ticks_us) -> None:
        """`ticks_us()` is time.ticks_us or what stands for it."""
        self._ticks_us = ticks_us
        self._count = 0
        self._last = 0
        self._reject = 0

    def reject(self, us: int) -> None:
        """An edge closer than `us` to the one before is spurious: not counted, and not the one before."""
        self._reject = us

    def on_edge(self, _pin) -> None:
        """The interrupt."""
        now = self._ticks_us() & EDGE_MASK
        if self._count and (now - self._last) & EDGE_MASK < self._reject:
            return
        self._last = now
        count = (self._count + 1) & EDGE_MASK
        self._count = count if count else 1

    def read(self) -> "tuple[int, int, int]":
        """(edges so far, time of the last, time now), in us; of one moment although an interrupt may come."""
        while True:
            count = self._count
            last = self._last
            now = self._ticks_us() & EDGE_MASK
            if count == self._count:
                return count, last, now
