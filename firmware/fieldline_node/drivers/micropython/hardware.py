"""The chip as the node's hardware port (ports.py): time, watchdog, restart, pins, its own temperature.

Rules: what differs between chips stands here and in edges.py, flash.py. Constructing it starts nothing. Buses are
imported where a board has a sensor on one: what is not used takes no memory.
"""

import gc
import os
import time

import machine

from fieldline_node.drivers.micropython.edges import COUNT_BELOW_US, CountedEdges, EitherEdges, TimedEdges
from fieldline_wire.codes import (
    RESET_DEEP_SLEEP,
    RESET_HARD,
    RESET_POWER_ON,
    RESET_SOFT,
    RESET_UNKNOWN,
    RESET_WATCHDOG,
    const,
)

WATCHDOG_MS = const(8000)  # the RP2040's reaches 8.3 s; a step with an erase or two stays under 1 s

_CAUSES = (
    ("PWRON_RESET", RESET_POWER_ON),
    ("HARD_RESET", RESET_HARD),
    ("WDT_RESET", RESET_WATCHDOG),
    ("DEEPSLEEP_RESET", RESET_DEEP_SLEEP),
    ("SOFT_RESET", RESET_SOFT),
)


class Output:
    """A pin that the node drives."""

    __slots__ = ("_pin",)

    def __init__(self, pin: "int | str") -> None:
        self._pin = machine.Pin(pin, machine.Pin.OUT, value=0)

    def set(self, level: int) -> None:
        """Drives the pin to 0 or 1."""
        self._pin.value(level)


class Hardware:
    """The chip that the node runs on. `chip` as in the catalog: "rp2" or "esp32"."""

    __slots__ = ("_chip", "_counters", "_i2c", "_now", "_ticks", "_watchdog")

    def __init__(self, chip: str) -> None:
        self._chip = chip
        self._ticks = time.ticks_ms()
        self._now = 0
        self._counters = 0  # hardware counters or state machines given out
        self._i2c = {}  # number to bus
        self._watchdog = None

    def start_watchdog(self) -> None:
        """From now on the chip is reset where feed() is not called for WATCHDOG_MS. It can't be stopped."""
        self._watchdog = machine.WDT(timeout=WATCHDOG_MS)

    def feed(self) -> None:
        """Tells the watchdog that the app lives."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def now_ms(self) -> int:
        """ms since the start; to be called at least once in six days, the range of ticks_ms."""
        ticks = time.ticks_ms()
        self._now += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self._now

    def restart(self) -> None:
        """Resets the chip."""
        machine.reset()

    def reset_cause(self) -> int:
        """RESET_*, as far as the chip tells."""
        cause = machine.reset_cause()
        for name, code in _CAUSES:
            if cause == getattr(machine, name, None):
                return code
        return RESET_UNKNOWN

    def heap_free(self) -> int:
        """Bytes that the heap has left, before a collection."""
        return gc.mem_free()

    def random(self, count: int) -> bytes:
        """`count` random bytes."""
        return os.urandom(count)

    def output(self, pin: "int | str") -> Output:
        """The output at `pin`, driven low."""
        return Output(pin)

    def edges(self, pin: int) -> "TimedEdges | EitherEdges":
        """The source of falling edges at `pin`."""
        if self._chip == "rp2":
            return self._rp2_edges(pin)
        if not hasattr(machine, "Counter"):  # as on an ESP32-C3, which has no pulse counter
            return TimedEdges(pin, {})
        number = self._counters
        self._counters += 1
        return EitherEdges(
            lambda: TimedEdges(pin, {}), lambda: CountedEdges(pin, number), lambda us: us < COUNT_BELOW_US
        )

    def i2c(self, bus: "tuple[int, int, int, int]"):
        """The I2C bus (number, clock pin, data pin, Hz); the same one for all that are on it."""
        from fieldline_node.drivers.micropython.i2c import I2cBus

        if bus[0] not in self._i2c:
            self._i2c[bus[0]] = I2cBus(*bus)
        return self._i2c[bus[0]]

    def one_wire(self, pin: int):
        """The 1-Wire bus at `pin`."""
        from fieldline_node.drivers.micropython.one_wire import OneWireBus

        return OneWireBus(pin)

    def analog(self, pin: int, full_mv: int):
        """The analog input at `pin`."""
        from fieldline_node.drivers.micropython.analog import AnalogInput

        return AnalogInput(pin, full_mv)

    def temperature(self) -> int:
        """The chip's temperature in 0.01 degree C."""
        if self._chip == "rp2":
            volts = machine.ADC(4).read_u16() * 3.3 / 65535
            return round(2700 - (volts - 0.706) * 100 / 0.001721)  # RP2040 datasheet 4.9.5
        import esp32  # pyright: ignore[reportMissingImports] - the stubs are those of another chip

        if hasattr(esp32, "mcu_temperature"):
            return round(esp32.mcu_temperature() * 100)
        return round((esp32.raw_temperature() - 32) * 500 / 9)  # the first ESP32 gives Fahrenheit

    def _rp2_edges(self, pin: int) -> "TimedEdges | EitherEdges":
        """An interrupt where PIO has no state machine left."""
        from fieldline_node.drivers.micropython.pio import MOST_US, PioEdges, free_machine

        def timed():
            return TimedEdges(pin, {"hard": True})

        number = free_machine(self._counters)
        if number is None:
            return timed()
        self._counters = number + 1
        return EitherEdges(timed, lambda: PioEdges(pin, number), lambda us: us <= MOST_US)
