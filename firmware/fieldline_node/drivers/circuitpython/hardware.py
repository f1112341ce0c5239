"""The chip as the node's hardware port (ports.py): time, watchdog, restart, pins, its own temperature.

Rules: constructing it starts nothing. Buses are imported where a board has a sensor on one: what is not used takes
no memory.
"""

import gc
import os

import digitalio
import microcontroller
import supervisor
from watchdog import WatchDogMode

from fieldline_node.drivers.circuitpython.edges import CountedEdges
from fieldline_node.drivers.circuitpython.pins import find_pin
from fieldline_wire.codes import (
    RESET_BROWN_OUT,
    RESET_DEEP_SLEEP,
    RESET_HARD,
    RESET_POWER_ON,
    RESET_SOFT,
    RESET_UNKNOWN,
    RESET_WATCHDOG,
    const,
)

WATCHDOG_S = const(8)  # the most that the RP2 port takes; a step with a flash write or two stays under 1 s

_TICKS = const(0x1FFFFFFF)  # supervisor.ticks_ms() counts modulo one more
_CAUSES = (
    ("POWER_ON", RESET_POWER_ON),
    ("RESET_PIN", RESET_HARD),
    ("RESCUE_DEBUG", RESET_HARD),
    ("WATCHDOG", RESET_WATCHDOG),
    ("DEEP_SLEEP_ALARM", RESET_DEEP_SLEEP),
    ("SOFTWARE", RESET_SOFT),
    ("BROWNOUT", RESET_BROWN_OUT),
)


class Output:
    """A pin that the node drives."""

    __slots__ = ("_pin",)

    def __init__(self, pin: "int | str") -> None:
        self._pin = digitalio.DigitalInOut(find_pin(pin))
        self._pin.switch_to_output(False)

    def set(self, level: int) -> None:
        """Drives the pin to 0 or 1."""
        self._pin.value = bool(level)


class Hardware:
    """The chip that the node runs on. `before_restart()` is called by restart()."""

    __slots__ = ("_edges", "_i2c", "_now", "_ticks", "_watchdog", "before_restart")

    def __init__(self) -> None:
        self._ticks = supervisor.ticks_ms()
        self._now = 0
        self._edges = []  # the sources given out
        self._i2c = {}  # number to bus
        self._watchdog = None
        self.before_restart = lambda: None

    def start_watchdog(self) -> None:
        """From now on the chip is reset where feed() is not called for WATCHDOG_S. OSError without one."""
        watchdog = microcontroller.watchdog
        if watchdog is None:
            raise OSError("this chip has no watchdog in CircuitPython")
        watchdog.timeout = WATCHDOG_S
        watchdog.mode = WatchDogMode.RESET
        self._watchdog = watchdog

    def feed(self) -> None:
        """Tells the watchdog that the app lives."""
        if self._watchdog is not None:
            self._watchdog.feed()

    def now_ms(self) -> int:
        """ms since the start; to be called at least once in six days, the range of ticks_ms."""
        ticks = supervisor.ticks_ms()
        self._now += (ticks - self._ticks) & _TICKS
        self._ticks = ticks
        return self._now

    def poll(self) -> None:
        """What is to be looked at in every round of the top loop: the edges."""
        for source in self._edges:
            source.poll()

    def restart(self) -> None:
        """Resets the chip."""
        self.before_restart()
        microcontroller.reset()

    def reset_cause(self) -> int:
        """RESET_*, as far as the chip tells."""
        reason = microcontroller.cpu.reset_reason
        for name, code in _CAUSES:
            if reason == getattr(microcontroller.ResetReason, name, None):
                return code
        return RESET_UNKNOWN

    def heap_free(self) -> int:
        """Bytes that the heap has left, before a collection."""
        return gc.mem_free()  # pyright: ignore[reportAttributeAccessIssue] - CPython's has none

    def random(self, count: int) -> bytes:
        """`count` random bytes."""
        return os.urandom(count)

    def output(self, pin: "int | str") -> Output:
        """The output at `pin`, driven low."""
        return Output(pin)

    def edges(self, pin: int) -> CountedEdges:
        """The source of falling edges at `pin`."""
        source = CountedEdges(pin)
        self._edges.append(source)
        return source

    def i2c(self, bus: "tuple[int, int, int, int]"):
        """The I2C bus (number, clock pin, data pin, Hz); the same one for all that are on it."""
        from fieldline_node.drivers.circuitpython.i2c import I2cBus

        if bus[0] not in self._i2c:
            self._i2c[bus[0]] = I2cBus(*bus[1:])
        return self._i2c[bus[0]]

    def one_wire(self, pin: int):
        """The 1-Wire bus at `pin`."""
        from fieldline_node.drivers.circuitpython.one_wire import OneWireBus

        return OneWireBus(pin)

    def analog(self, pin: int, full_mv: int):
        """The analog input at `pin`."""
        from fieldline_node.drivers.circuitpython.analog import AnalogInput

        return AnalogInput(pin, full_mv)

    def temperature(self) -> int:
        """The chip's temperature in 0.01 degree C. OSError where the chip gives none."""
        celsius = microcontroller.cpu.temperature
        if celsius is None:
            raise OSError("no temperature")
        return round(celsius * 100)
