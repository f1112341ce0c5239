"""A voltage at a pin (ports.py).

Rules: CircuitPython gives 16 bits of the range that the chip says it has; the board's TOML knows it better where
the reference is the supply.
"""

import analogio

from fieldline_node.drivers.circuitpython.pins import find_pin
from fieldline_wire.codes import const

_MOST = const(65535)
_TOP = const(65520)  # with 12 bits, the highest of them


class AnalogInput:
    """One input of the converter."""

    __slots__ = ("_adc", "_full_mv")

    def __init__(self, pin: int, full_mv: int) -> None:
        """`full_mv`: what the highest number stands for."""
        self._adc = analogio.AnalogIn(find_pin(pin))
        self._full_mv = full_mv

    def read(self) -> "tuple[int, bool]":
        """(microvolts at the pin, whether that is the end of the range)."""
        number = self._adc.value
        return number * self._full_mv * 1000 // _MOST, number >= _TOP
