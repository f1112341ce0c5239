"""The computer as the node's hardware port (ports.py): time, watchdog, restart, pins, its own temperature.

Rules: constructing it starts nothing. The watchdog is systemd's, where the service asks for one.
"""

import os
import sys
import time

import digitalio

from fieldline_host import systemd
from fieldline_node.drivers.blinka.edges import PolledEdges, Watcher
from fieldline_node.drivers.blinka.i2c import I2cBus
from fieldline_node.drivers.blinka.pins import find_pin
from fieldline_wire.codes import RESET_SOFT

_THERMAL = "/sys/class/thermal/thermal_zone0/temp"  # kernel documentation, thermal/sysfs-api: 0.001 degree C
_MEMORY = "/proc/meminfo"
_MOST = 0xFFFFFFFF  # wire.md 5.6: heap free has 4 bytes


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
    """The computer that the node runs on. `before_restart()` is called by restart()."""

    __slots__ = ("_began", "_i2c", "_watcher", "before_restart")

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._i2c = {}  # number to bus
        self._watcher = Watcher()
        self.before_restart = lambda: None

    def now_ms(self) -> int:
        """ms since the start."""
        return int((time.monotonic() - self._began) * 1000)

    def feed(self) -> None:
        """Tells the watchdog that the app lives."""
        systemd.alive()

    def restart(self) -> None:
        """Begins this program anew, in the place of this process: nothing of it stays."""
        self.before_restart()
        os.execv(sys.executable, sys.orig_argv)

    def reset_cause(self) -> int:
        """A program only knows that it began."""
        return RESET_SOFT

    def heap_free(self) -> int:
        """Bytes of memory that the computer has left."""
        with open(_MEMORY) as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return min(int(line.split()[1]) * 1024, _MOST)
        return 0

    def random(self, count: int) -> bytes:
        """`count` random bytes."""
        return os.urandom(count)

    def output(self, pin: "int | str") -> Output:
        """The output at `pin`, driven low."""
        return Output(pin)

    def edges(self, pin: "int | str") -> PolledEdges:
        """The source of falling edges at `pin`."""
        source = PolledEdges(pin)
        self._watcher.add(source)
        return source

    def i2c(self, bus: "tuple[int, int | str, int | str, int]") -> I2cBus:
        """The I2C bus (number, clock pin, data pin, Hz); the same one for all that are on it."""
        if bus[0] not in self._i2c:
            self._i2c[bus[0]] = I2cBus(*bus[1:])
        return self._i2c[bus[0]]

    def temperature(self) -> int:
        """The chip's temperature in 0.01 degree C. OSError where the kernel knows none."""
        with open(_THERMAL) as file:
            return int(file.read()) // 10
