"""A voltage at an input of the chip's own converter, behind a divider or without one.

Rules: the mean of some readings, for the converters are noisy. A reading at the end of the converter's range is
saturated, whatever the others say.
"""

from fieldline_wire.codes import QTY_VOLTAGE, const

_READINGS = const(16)


def make(number: int, place, hardware) -> "Voltage":
    """`place`: (pin, mV of full scale, ohm above and ohm below the pin)."""
    pin, full_mv, above_ohm, below_ohm = place
    return Voltage(number, hardware.analog(pin, full_mv), above_ohm, below_ohm)


class Voltage:
    """Voltage over the divider in mV."""

    __slots__ = ("_above", "_below", "_input", "number", "saturated")
    QUANTITY = QTY_VOLTAGE
    KEYS = ()
    stalled = False
    others = ()
    wait_ms = 0

    def __init__(self, number: int, source, above_ohm: int, below_ohm: int) -> None:
        """`source`: an analog input (ports.py)."""
        self.number = number
        self.saturated = False
        self._input = source
        self._above = above_ohm
        self._below = below_ohm

    def configure(self, settings) -> None:
        """No settings that the gateway may change."""

    def sample(self, now: int) -> int:
        """The voltage."""
        total = 0
        self.saturated = False
        for _ in range(_READINGS):
            uv, at_the_end = self._input.read()
            total += uv
            self.saturated = self.saturated or at_the_end
        return to_millivolts(total // _READINGS, self._above, self._below)


def to_millivolts(uv: int, above_ohm: int, below_ohm: int) -> int:
    """The voltage over both resistors from that over the lower one."""
    per_mv = 1000 * below_ohm
    return (uv * (above_ohm + below_ohm) + per_mv // 2) // per_mv
