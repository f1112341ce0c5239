"""Fan speed from an open-collector tachometer: falling edges, some to a turn.

Rules: speed is measured over whole periods, from the last edge of one sample to the last edge of the next:
freq = edges / dt, rpm = freq / pulses_per_turn * 60. Where no edge came since, the fan is at most as fast as
one edge in that time; none for the stall time is 0. The first edge after that only starts the clock, with the
second the fan turns again. That is not left to wait for the next sample, but speed is: over one period it is coarse.
"""

from fieldline_node.sensors.edges import EDGE_MASK
from fieldline_wire.codes import KEY_ALERT_STALL, KEY_PULSES, KEY_REJECT_US, KEY_STALL_MS, QTY_SPEED, const

_UNIT_US = 600000000  # us in a minute, times ten: speed is in 0.1 rpm (wire.md 5.8)
_MAX_VALUE = 0x7FFFFFFF  # wire.md 5.7
_LOOK_MS = const(10)  # so often it is looked for the second edge after a stall


def make(number: int, pin, hardware) -> "Tachometer":
    """A tachometer at `pin`."""
    return Tachometer(number, hardware.edges(pin))


class Tachometer:
    """Speed in 0.1 rpm from an edge source (ports.py)."""

    __slots__ = (
        "_base",
        "_count",
        "_edges",
        "_pulses",
        "_reject",
        "_seen_ms",
        "_stall_ms",
        "_value",
        "number",
        "saturated",
        "stalled",
        "wait_ms",
    )
    QUANTITY = QTY_SPEED
    KEYS = (KEY_PULSES, KEY_REJECT_US, KEY_STALL_MS, KEY_ALERT_STALL)
    others = ()

    def __init__(self, number: int, edges) -> None:
        self.number = number
        self.stalled = True  # until it is seen to turn
        self.saturated = False
        self.wait_ms = 0
        self._edges = edges
        self._pulses = 1
        self._reject = 0
        self._stall_ms = 0
        self._count = 0
        self._base = None  # us on the source's clock: the edge from which the next speed is measured
        self._seen_ms = None  # when that edge was, or the start, on the app's clock
        self._value = None  # the last speed

    def configure(self, settings) -> None:
        """Takes pulses per turn, reject time and stall time."""
        self._pulses = settings.get(self.number, KEY_PULSES)
        self._reject = settings.get(self.number, KEY_REJECT_US)
        self._stall_ms = settings.get(self.number, KEY_STALL_MS)
        self._edges.reject(self._reject)

    def sample(self, now: int) -> "int | None":
        """Speed since the last sample; None while there is no whole period and no stall yet, or a stall ends."""
        count, last, clock = self._edges.read()
        if self._seen_ms is None:
            self._seen_ms = now
        turned = (count - self._count) & EDGE_MASK
        self._count = count
        self.wait_ms = 0
        if turned:
            (self._started if self.stalled else self._turned)(turned, last)
            self._seen_ms = now - ((clock - last) & EDGE_MASK) // 1000
        still = now - self._seen_ms
        if still >= self._stall_ms:
            self.stalled = True
            self._base = None
            self._value = 0
        elif self.stalled:
            if self._base is not None:
                self.wait_ms = _LOOK_MS
            return None
        elif self._base is None:
            return None
        elif not turned and self._value:
            self._value = min(self._value, self._speed(1, still * 1000))
        return self._value

    def _started(self, turned: int, last: int) -> None:
        """`turned` edges came since it stood still, the last at `last` us."""
        self.stalled = self._base is None and turned == 1
        self._base = last
        self._value = None

    def _turned(self, turned: int, last: int) -> None:
        """`turned` edges came, the last at `last` us."""
        if self._base is None:
            self._value = None
        else:
            took = (last - self._base) & EDGE_MASK
            self.saturated = turned * self._reject > took + self._reject
            self._value = self._speed(turned, took)
        self._base = last

    def _speed(self, edges: int, us: int) -> int:
        """0.1 rpm of `edges` periods in `us`."""
        period = max(1, us * self._pulses)
        return min((_UNIT_US * edges + period // 2) // period, _MAX_VALUE)
