"""LIS3DH, a three-axis accelerometer on I2C: how strongly something vibrates (ST DocID17530 Rev 2; AN3308).

Rules: section numbers are the datasheet's. The chip's FIFO takes 32 samples at a time while the node does other
things. RMS over all samples of a measurement and all axes, each axis without its mean: gravity is gone, whatever
way up the chip is. Between two fillings a few samples are missed, which RMS does not mind.
"""

import struct

from fieldline_node.sensors.timed import TimedSensor
from fieldline_wire.codes import QTY_ACCELERATION, const

ID = const(0x33)

_WHO_AM_I = const(0x0F)  # 7, table 21
_CTRL = const(0x20)  # CTRL_REG1 to 6
_OUT = const(0x28)
_FIFO_CTRL = const(0x2E)
_FIFO_SRC = const(0x2F)
_MOVE_ON = const(0x80)  # 6.1.1
_LEVELS = const(32)  # of the FIFO (5.1)
_FULL = const(0x40)  # OVRN: 32 samples are in it (AN3308 9.2)
_BYPASS = b"\x00"  # 8.24
_FILL = b"\x40"
_AXES_ON = const(0x07)  # 8.8
_WHOLE_SAMPLES = const(0x88)  # 8.11: BDU, high resolution
_FIFO_ON = const(0x40)  # 8.12
_RATES = {50: 4, 100: 5, 200: 6, 400: 7, 1344: 9}  # Hz: 8.8, table 31
_RANGES = {2: (0, 1), 4: (1, 2), 8: (2, 4), 16: (3, 12)}  # g: 8.11; mg per digit (2.1, table 4)
_G = const(980665)  # 0.00001 mm/s2 a mg


def make(number: int, place, hardware) -> "Lis3dh":
    """`place`: (I2C bus, address, range in g, samples a second, samples of a measurement)."""
    bus, address, range_g, rate_hz, samples = place
    return Lis3dh(number, hardware.i2c(bus), address, range_g, rate_hz, samples)


class Lis3dh(TimedSensor):
    """RMS of acceleration without gravity in 0.001 m/s2."""

    __slots__ = (
        "_address",
        "_bus",
        "_control",
        "_data",
        "_fillings",
        "_left",
        "_limit",
        "_mg",
        "_ms",
        "_settled",
        "_sums",
    )
    QUANTITY = QTY_ACCELERATION
    RETRY_MS = 10  # the rate is that of the chip's own clock

    def __init__(self, number: int, bus, address: int, range_g: int, rate_hz: int, samples: int) -> None:
        """`samples`: a multiple of 32."""
        super().__init__(number)
        self._bus = bus
        self._address = address
        scale, self._mg = _RANGES[range_g]
        self._limit = 1000 * range_g // self._mg
        rate = _RATES[rate_hz] << 4 | _AXES_ON
        self._control = bytes((rate, 0, 0, scale << 4 | _WHOLE_SAMPLES, _FIFO_ON, 0))
        self._ms = 1000 * (_LEVELS + 1) // rate_hz + 1
        self._fillings = samples // _LEVELS
        self._left = 0  # fillings
        self._settled = False
        self._data = bytearray(6 * _LEVELS)
        self._sums = [0] * 6  # of x, y, z and of their squares

    def prepare(self) -> None:
        """Knows the chip by its id and gives it range and rate."""
        if self._read(_WHO_AM_I, 1)[0] != ID:
            raise OSError("no LIS3DH")
        self._bus.write(self._address, _CTRL | _MOVE_ON, self._control)
        self._settled = False  # the first samples after its turn-on are not right (AN3308 3.7)

    def begin(self) -> int:
        """Begins the first filling."""
        self._left = self._fillings
        self._sums = [0] * 6
        self.saturated = False
        self._fill()
        return self._ms

    def collect(self) -> "int | None":
        """Takes a filling; the value after the last."""
        if not self._read(_FIFO_SRC, 1)[0] & _FULL:
            return None
        self._bus.read(self._address, _OUT | _MOVE_ON, self._data)
        if self._read(_CTRL | _MOVE_ON, 6) != self._control:
            raise OSError("lost its settings")
        if self._settled:
            self._add()
            self._left -= 1
            if not self._left:
                return rms(self._sums, self._fillings * _LEVELS, self._mg)
        self._settled = True
        self._fill()
        self.again(self._ms)
        return None

    def _fill(self) -> None:
        """Empties the FIFO and lets it fill (5.1.1, 5.1.2)."""
        self._bus.write(self._address, _FIFO_CTRL, _BYPASS)
        self._bus.write(self._address, _FIFO_CTRL, _FILL)

    def _add(self) -> None:
        sums = self._sums
        for at in range(0, len(self._data), 6):
            sample = struct.unpack_from("<3h", self._data, at)
            for axis in range(3):
                digits = sample[axis] >> 4  # 12 bits, left-justified (2.6.3)
                sums[axis] += digits
                sums[axis + 3] += digits * digits
                if not -self._limit < digits < self._limit:
                    self.saturated = True

    def _read(self, register: int, count: int) -> bytearray:
        data = bytearray(count)
        self._bus.read(self._address, register, data)
        return data


def rms(sums, count: int, mg: int) -> int:
    """0.001 m/s2 from the sums of digits and of their squares: the root of the axes' variances together."""
    spread = 0
    for axis in range(3):
        spread += count * sums[axis + 3] - sums[axis] * sums[axis]
    twice = root(spread * (2 * mg * _G) ** 2 // (count * 100000) ** 2)
    return (twice + 1) // 2


def root(number: int) -> int:
    """The integer square root, rounded down (Newton's method; MicroPython has no isqrt)."""
    guess = 1
    while guess * guess <= number:
        guess <<= 1
    while guess * guess > number:
        guess = (guess + number // guess) >> 1
    return guess
