"""Falling edges of a pin, counted by hardware (countio).

Rules: CircuitPython runs no code of ours in an interrupt, so an edge is timed by the poll() that first counts
it: to the pace of the top loop. Nothing is rejected: a tachometer that bounces needs a capacitor. The pin is
pulled up, as tachometers are open collectors.
"""

import countio
import digitalio
import supervisor

from fieldline_node.drivers.circuitpython.pins import find_pin
from fieldline_node.sensors.edges import EDGE_MASK


class CountedEdges:
    """An edge source. On RP2 the pin must be on PWM channel B, with a PWM slice of its own (countio.Counter)."""

    __slots__ = ("_count", "_counter", "_last")

    def __init__(self, pin: int) -> None:
        self._counter = countio.Counter(find_pin(pin), edge=countio.Edge.FALL, pull=digitalio.Pull.UP)
        self._count = 0
        self._last = _now()

    def reject(self, us: int) -> None:
        """Nothing to set: countio has no filter."""

    def poll(self) -> None:
        """Looks whether edges came; the more often, the better their time is known."""
        count = self._counter.count & EDGE_MASK
        if count != self._count:
            self._count = count
            self._last = _now()

    def read(self) -> "tuple[int, int, int]":
        """(edges so far, when the last was counted, time now), in us."""
        self.poll()
        return self._count, self._last, _now()


def _now() -> int:
    # ticks_ms() counts modulo 2**29, as EDGE_MASK does: 1000 times it runs on where it wraps.
    return supervisor.ticks_ms() * 1000 & EDGE_MASK
