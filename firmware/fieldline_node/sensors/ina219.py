"""INA219, a current and power monitor on I2C (TI SBOS448G).

Rules: section numbers are the datasheet's. It has no identity, so it is known by its reset values; calibration and
configuration, which it forgets without power, are read after the result and must be ours. Power is current times
voltage here: the chip's own register has no sign.
"""

import struct

from fieldline_node.sensors.timed import TimedSensor
from fieldline_wire.codes import QTY_CURRENT, QTY_POWER, QTY_VOLTAGE, const

_CONFIG = const(0)  # 8.6.1, table 2
_SHUNT = const(1)
_BUS = const(2)
_CURRENT = const(4)
_CALIBRATION = const(5)
_RESET = const(0x8000)
_CONFIG_AT_RESET = const(0x399F)
_SETTINGS = const(0x2663)  # 8.6.2.1: bus range 32 V, 16 samples of 12 bits for bus and shunt, triggered
_GAIN_SHIFT = const(11)
_READY = const(2)  # 8.6.3.2
_OVERFLOW = const(1)
_TIME_MS = const(19)  # two times 8.51 ms, and 10 % (7.5)
_MAX_BUS_MV = const(26000)  # 7.3


def make(number: int, place, hardware) -> "Ina219":
    """`place`: (I2C bus, address, shunt in microohm, largest current in mA)."""
    bus, address, shunt_uohm, max_ma = place
    return Ina219(number, hardware.i2c(bus), address, shunt_uohm, max_ma)


class Ina219(TimedSensor):
    """Current in 0.1 mA (positive from IN+ to IN-), and voltage at IN- in mV, 0 to 26 V, and power in mW."""

    __slots__ = ("_address", "_bus", "_calibration", "_config", "_full", "_scale", "_word")
    QUANTITY = QTY_CURRENT

    def __init__(self, number: int, bus, address: int, shunt_uohm: int, max_ma: int) -> None:
        """Current times shunt is at most 320 mV."""
        super().__init__(number)
        self._bus = bus
        self._address = address
        gain = gain_for(shunt_uohm, max_ma)
        self._config = _SETTINGS | gain << _GAIN_SHIFT
        self._full = 4000 << gain  # of the shunt register, 10 uV (8.6.3.1)
        self._calibration = calibration(shunt_uohm, max_ma)
        self._scale = self._calibration * shunt_uohm
        self._word = bytearray(2)

    def prepare(self) -> None:
        """Resets the chip and calibrates it."""
        self._write(_CONFIG, _RESET)
        if self._read(_CONFIG) != _CONFIG_AT_RESET or self._read(_CALIBRATION):
            raise OSError("no INA219")
        self._write(_CALIBRATION, self._calibration)

    def begin(self) -> int:
        """Starts a measurement of shunt and bus."""
        self._write(_CONFIG, self._config)
        return _TIME_MS

    def collect(self) -> "int | None":
        """Reads the result."""
        bus = self._read(_BUS)
        shunt = _signed(self._read(_SHUNT))
        current = to_current(_signed(self._read(_CURRENT)), self._scale)
        if self._read(_CONFIG) != self._config or self._read(_CALIBRATION) != self._calibration:
            raise OSError("lost its settings")
        if not bus & _READY:
            return None
        voltage = (bus >> 3) * 4
        self.saturated = bool(bus & _OVERFLOW) or abs(shunt) >= self._full
        high = voltage > _MAX_BUS_MV
        power = (current * voltage + 5000) // 10000
        self.others = ((QTY_VOLTAGE, voltage, high), (QTY_POWER, power, high or self.saturated))
        return current

    def _read(self, register: int) -> int:
        self._bus.read(self._address, register, self._word)
        return self._word[0] << 8 | self._word[1]

    def _write(self, register: int, value: int) -> None:
        self._bus.write(self._address, register, struct.pack(">H", value))


def calibration(shunt_uohm: int, max_ma: int) -> int:
    """The calibration register for a current LSB of `max_ma` / 2^15 (8.5.1, equations 1 and 2; bit 0 is void)."""
    return min(1342177280000 // (max_ma * shunt_uohm), 0xFFFF) & 0xFFFE


def gain_for(shunt_uohm: int, max_ma: int) -> int:
    """The PGA setting, 0 to 3, whose 40, 80, 160 or 320 mV the largest current fits in (8.6.2.1, table 4)."""
    gain = 0
    while gain < 3 and max_ma * shunt_uohm > 40000000 << gain:
        gain += 1
    return gain


def to_current(register: int, scale: int) -> int:
    """0.1 mA from the current register; `scale` is calibration times microohm (8.5.1, equation 1 turned round)."""
    return (register * 409600000 + scale // 2) // scale


def _signed(word: int) -> int:
    return word - 0x10000 if word & 0x8000 else word
