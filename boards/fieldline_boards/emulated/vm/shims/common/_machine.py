"""What `machine` has on all chips; the family's own `machine` adds its numbers and classes."""

import time

import _hw

_RISING = 1  # as the host counts them
_FALLING = 2


class PinBase:
    IN = OUT = OPEN_DRAIN = PULL_UP = PULL_DOWN = IRQ_RISING = IRQ_FALLING = None  # the chip's numbers

    def __init__(self, id, mode=-1, pull=-1, *, value=None):
        if isinstance(id, int) and not _hw.pin_exists(id):
            raise ValueError("invalid pin")
        self.id = id
        self.init(mode, pull, value=value)

    def init(self, mode=-1, pull=-1, *, value=None):
        output = None if mode == -1 else mode in (self.OUT, self.OPEN_DRAIN)
        level = None if value is None else int(bool(value))
        _hw.pin_setup(self.id, output, int(pull == self.PULL_UP), level)

    def value(self, level=None):
        if level is None:
            return _hw.pin_read(self.id)
        _hw.pin_write(self.id, int(bool(level)))

    __call__ = value

    def on(self):
        self.value(1)

    def off(self):
        self.value(0)

    def toggle(self):
        self.value(not self.value())

    def irq(self, handler=None, trigger=None, *, hard=False):
        if trigger is None:
            trigger = self.IRQ_RISING | self.IRQ_FALLING
        edges = (_RISING if trigger & self.IRQ_RISING else 0) | (
            _FALLING if trigger & self.IRQ_FALLING else 0
        )
        _hw.pin_listen(self.id, edges, None if handler is None else lambda: handler(self))
        return self

    def __repr__(self):
        return "Pin(%d)" % self.id


class WDTBase:
    LONGEST_MS = 0x7FFFFFFF

    def __init__(self, id=0, timeout=5000):
        if not 1 <= timeout <= self.LONGEST_MS:
            raise ValueError("timeout exceeds %d" % self.LONGEST_MS)
        _hw.wdt_start(timeout)

    def feed(self):
        _hw.wdt_feed()


def unique_id():
    from binascii import unhexlify

    return unhexlify(_hw.uid)


def reset_cause():
    return _hw.cause


def reset():
    _hw.halt("hard")


def soft_reset():
    _hw.halt("soft")


def deepsleep(time_ms=0):
    _hw.deep_sleep(time_ms)


def lightsleep(time_ms=0):
    time.sleep_ms(time_ms)


def idle():
    _hw.sleep_us(1000)


def disable_irq():
    return _hw.interrupts(False)


def enable_irq(state=True):
    _hw.interrupts(state)
