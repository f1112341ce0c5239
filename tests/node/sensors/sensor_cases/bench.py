"""A bench for sensors: the node's side of the buses, and the world's side of the emulated chips.

Rules: runs on CPython and on MicroPython. Time is the bench's: it moves by advance() and by what goes over the
buses, so `longest_us` is how long a sample kept the node at most.
"""

I2C = (0, 9, 8, 400000)  # number, clock pin, data pin, Hz
WIRE = 14
PATIENCE_MS = 5000


class Bench:
    """`act(action, *arguments)` reaches the rig; `hardware` is the port that sensors are made with."""

    def __init__(self, act, hardware, stride):
        self.hardware = hardware
        self.stride = stride  # of the places at which a fault is tried: all on CPython, some on the VM
        self.longest_us = 0
        self._act = act
        act("clear")
        act("bus", *I2C[:3])

    @property
    def now(self):
        """ms, as the app counts them."""
        return self.us // 1000

    @property
    def us(self):
        return self._act("us")

    def add(self, name, kind, place, **options):
        """A chip; place: number of the I2C bus or pin."""
        self._act("add", name, kind, place, options)
        self._act("advance", 10)  # start-up

    def set(self, name, attribute, value):
        self._act("set", name, attribute, value)

    def get(self, name, attribute):
        return self._act("get", name, attribute)

    def call(self, name, method):
        self._act("call", name, method)
        self._act("advance", 10)

    def after(self, bus, count, name, method):
        """Call a chip's method when `count` more bytes (1-Wire: bits) went over `bus`."""
        self._act("after", bus, count, name, method)

    def flip(self, pin, slots):
        """Noise on the 1-Wire bus."""
        self._act("flip", pin, slots)

    def analog(self, channel, share):
        self._act("analog", channel, share)

    def advance(self, ms):
        self._act("advance", ms)

    def sample(self, sensor):
        """One call of sample(), timed."""
        before = self.us
        try:
            return sensor.sample(before // 1000)
        finally:
            self.longest_us = max(self.longest_us, self.us - before)

    def begin(self, sensor):
        """Begins a measurement; its time counts from now on."""
        assert self.sample(sensor) is None
        self._act("advance", sensor.wait_ms)
        assert self.sample(sensor) is None

    def measure(self, sensor):
        """A value, with all the time that it takes."""
        end = self.now + PATIENCE_MS
        while self.now < end:
            value = self.sample(sensor)
            if value is not None:
                return value
            assert sensor.wait_ms > 0, "a sensor that takes time says how much"
            self._act("advance", sensor.wait_ms)
        raise AssertionError(f"no value in {PATIENCE_MS} ms")

    def silent(self, sensor):
        """Whether measuring ends in OSError."""
        try:
            self.measure(sensor)
        except OSError:
            return True
        return False
