"""The ring oscillator, as far as firmware looks at it: stable, a source of random bits (RP2040 datasheet 2.17).

Rules: the bits follow from a seed, so that a run can be repeated; they go on over resets.
"""

from __future__ import annotations

import random
from typing import Any

from rp2040py.peripherals.peripheral import BasePeripheral

_BASE = 0x40060
_STATUS = 0x18
_RANDOMBIT = 0x1C
_STABLE_AND_ENABLED = 0x80001000


class RingOscillator(BasePeripheral):
    """One a chip; `bits` is one for the life of the board."""

    def __init__(self, mcu: Any, bits: random.Random) -> None:
        super().__init__(mcu, "ROSC_BASE")
        self._bits = bits
        mcu.peripherals[_BASE] = self

    def read_uint32(self, offset: int) -> int:
        if offset == _RANDOMBIT:
            return self._bits.getrandbits(1)
        return _STABLE_AND_ENABLED if offset == _STATUS else 0

    def write_uint32(self, offset: int, value: int) -> None:
        """Nothing: its frequency is no matter."""
