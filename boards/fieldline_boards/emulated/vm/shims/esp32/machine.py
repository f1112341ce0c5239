"""machine of an emulated ESP32 (numbers from ports/esp32)."""

import _hw
from _buses import I2CBase
from _machine import *
from _machine import PinBase, WDTBase

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5


class Pin(PinBase):
    IN = 1
    OUT = 3
    OPEN_DRAIN = 7
    PULL_DOWN = 1
    PULL_UP = 2
    IRQ_RISING = 1
    IRQ_FALLING = 2


class WDT(WDTBase):
    pass


class Counter:
    RISING = 1
    FALLING = 2
    UP = 1
    DOWN = 2

    def __init__(self, id, *args, **kwargs):
        if not 0 <= id <= 7:
            raise ValueError("id")
        self._id = id
        if args or kwargs:
            self.init(*args, **kwargs)

    def init(self, src, *, edge=RISING, direction=UP, filter_ns=0):
        _hw.counter_open(self._id, src.id, edge, 1 if direction == self.UP else -1)

    def deinit(self):
        _hw.counter_close(self._id)

    def value(self, value=None):
        count = _hw.counter_value(self._id)
        if value is not None:
            _hw.counter_set(self._id, value)
        return count


class I2C(I2CBase):
    NO_ACK = 19  # MP_ENODEV


class ADC:
    ATTN_0DB = 0
    ATTN_11DB = 3
    FULL_UV = (950_000, 1_250_000, 1_750_000, 3_100_000)  # ESP32 datasheet 4.1.2, by attenuation

    def __init__(self, source, *, atten=ATTN_0DB):
        self._channel = source.id if isinstance(source, Pin) else source
        self._atten = atten

    def read_uv(self):
        return self.read_u16() * self.FULL_UV[self._atten] // 65535

    def read_u16(self):
        return _hw.analog(self._channel)


def freq(hz=None):
    return 160_000_000
