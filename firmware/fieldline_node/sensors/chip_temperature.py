"""The chip's own temperature: of the board's inside, not of the room.

Rules: no settings of its own.
"""

from fieldline_wire.codes import QTY_TEMPERATURE


def make(number: int, _pin, hardware) -> "ChipTemperature":
    """The chip's temperature."""
    return ChipTemperature(number, hardware.temperature)


class ChipTemperature:
    """Temperature in 0.01 degree C."""

    __slots__ = ("_read", "number")
    QUANTITY = QTY_TEMPERATURE
    KEYS = ()
    stalled = False
    saturated = False
    others = ()
    wait_ms = 0

    def __init__(self, number: int, read) -> None:
        """`read()` gives the temperature, or raises OSError."""
        self.number = number
        self._read = read

    def configure(self, settings) -> None:
        """Nothing to take."""

    def sample(self, now: int) -> int:
        """The temperature; OSError where the chip gives none."""
        return self._read()
