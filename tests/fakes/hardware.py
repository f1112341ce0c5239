"""The node's hardware port with time that only moves when told (runs on MicroPython too).

Rules: pins, edges and the temperature are what the test sets; a restart is recorded, not done.
"""

from fakes.flash import Lcg

from fieldline_node.sensors.edges import EDGE_MASK, EdgeTimer
from fieldline_wire.codes import RESET_POWER_ON


class Restarted(Exception):
    """The node reset the chip."""


class FakeOutput:
    """An output pin; `levels` are all it was set to."""

    def __init__(self):
        self.levels = [0]

    def set(self, level):
        if level != self.levels[-1]:
            self.levels.append(level)

    @property
    def level(self):
        return self.levels[-1]


class FakeFan:
    """An edge source: a fan whose tachometer gives `hz` falling edges a second."""

    def __init__(self, hardware):
        self._hardware = hardware
        self._now = 0
        self._timer = EdgeTimer(lambda: self._now)
        self._hz = 0
        self._next = 0  # us

    def spin(self, hz):
        self._run()
        self._hz = hz
        self._next = self._hardware.now * 1000 + (1000000 / hz if hz else 0)

    def reject(self, us):
        self._timer.reject(us)

    def read(self):
        self._run()
        self._now = self._hardware.now * 1000 & EDGE_MASK
        return self._timer.read()

    def _run(self):
        while self._hz and self._next <= self._hardware.now * 1000:
            self._now = int(self._next) & EDGE_MASK
            self._timer.on_edge(None)
            self._next += 1000000 / self._hz


class FakeHardware:
    """The port of ports.py. `now` in ms."""

    def __init__(self, seed=1):
        self.now = 0
        self.fed = 0
        self.cause = RESET_POWER_ON
        self.celsius = 27.5  # None: the sensor is silent
        self.outputs = {}
        self.fans = {}
        self._random = Lcg(seed)

    def now_ms(self):
        return self.now

    def feed(self):
        self.fed += 1

    def restart(self):
        raise Restarted

    def reset_cause(self):
        return self.cause

    def heap_free(self):
        return 123456

    def random(self, count):
        return bytes([self._random.bits(8) for _ in range(count)])

    def output(self, pin):
        return self.outputs.setdefault(pin, FakeOutput())

    def edges(self, pin):
        return self.fans.setdefault(pin, FakeFan(self))

    def temperature(self):
        if self.celsius is None:
            raise OSError(5)
        return round(self.celsius * 100)
