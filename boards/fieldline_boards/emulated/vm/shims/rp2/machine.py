"""machine of an emulated RP2040 or RP2350 (numbers from ports/rp2)."""

import _hw
from _buses import I2CBase
from _machine import *
from _machine import PinBase, WDTBase

PWRON_RESET = 1
WDT_RESET = 3  # the RP2040 resets itself by its watchdog only: machine.reset() gives this cause too


_RP2350 = _hw.model == "rp2350"


class Pin(PinBase):
    IN = 0
    OUT = 1
    OPEN_DRAIN = 2
    PULL_UP = 1
    PULL_DOWN = 2
    IRQ_FALLING = 4
    IRQ_RISING = 8


class WDT(WDTBase):
    LONGEST_MS = 16777 if _RP2350 else 8388  # the chip's counter


class I2C(I2CBase):
    def check(self, id, scl, sda):
        if scl is not None and (scl & 3) != id * 2 + 1:
            raise ValueError("bad SCL pin")
        if sda is not None and (sda & 3) != id * 2:
            raise ValueError("bad SDA pin")


class ADC:
    CORE_TEMP = 4

    def __init__(self, source):
        if isinstance(source, Pin) and source.id not in range(26, 30):
            raise ValueError("Pin doesn't have ADC capabilities")
        self._channel = source.id - 26 if isinstance(source, Pin) else source

    def read_u16(self):
        if self._channel == self.CORE_TEMP:
            volts = 0.706 - (_hw.temperature() - 27) * 0.001721  # RP2040 datasheet 4.9.5
            return int(volts / 3.3 * 65535)
        return _hw.analog(self._channel)


def freq(hz=None):
    return 150_000_000 if _RP2350 else 125_000_000
