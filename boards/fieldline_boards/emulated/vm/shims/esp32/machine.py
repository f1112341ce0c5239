"""machine of an emulated chip of the ESP32 family (numbers from ports/esp32)."""

from binascii import unhexlify

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

    def init(self, mode=-1, pull=-1, *, value=None):
        if _hw.pin_is_input_only(self.id):
            if mode in (self.OUT, self.OPEN_DRAIN):
                raise ValueError("pin can only be input")
            pull = -1  # taken without an error, and without effect
        super().init(mode, pull, value=value)

    def irq(self, handler=None, trigger=3, wake=None):  # no `hard`: machine_pin_irq knows these three
        return super().irq(handler, trigger)


class WDT(WDTBase):
    pass


def unique_id():
    return unhexlify(_hw.uid)[:6]  # the MAC


class Counter:
    RISING = 1
    FALLING = 2
    UP = 1
    DOWN = 2

    def __init__(self, id, *args, **kwargs):
        if not 0 <= id < _hw.counters:
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


if not _hw.counters:
    del Counter  # ports/esp32/modules/machine.py: only where the chip has PCNT


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
