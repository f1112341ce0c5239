"""A voltage at a pin (ports.py).

Rules: an ESP32 knows its own converter's curve: it gives microvolts. An RP2040's reference is its supply.
"""

import machine

from fieldline_wire.codes import const

_MOST = const(65535)
_TOP = const(65520)  # with 12 bits, the highest of them


class AnalogInput:
    """One input of the converter."""

    __slots__ = ("_adc", "_full_mv", "_read_uv")

    def __init__(self, pin: int, full_mv: int) -> None:
        """`full_mv`: what the highest number stands for, where the chip does not know better."""
        how = {"atten": machine.ADC.ATTN_11DB} if hasattr(machine.ADC, "ATTN_11DB") else {}
        self._adc = machine.ADC(machine.Pin(pin), **how)
        self._read_uv = getattr(self._adc, "read_uv", None)
        self._full_mv = full_mv

    def read(self) -> "tuple[int, bool]":
        """(microvolts at the pin, whether that is the end of the range)."""
        number = self._adc.read_u16()
        if self._read_uv is not None:
            return self._read_uv(), number >= _TOP
        return number * self._full_mv * 1000 // _MOST, number >= _TOP
