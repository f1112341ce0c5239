"""BME280, a sensor of temperature, humidity and pressure on I2C (Bosch BST-BME280-DS002).

Rules: section numbers are the datasheet's. One measurement at a time (forced mode), each quantity once (3.5.1).
The settings are read after the result: where they are those of a reset, so may the result be.
"""

import struct

from fieldline_node.sensors.timed import TimedSensor
from fieldline_wire.codes import QTY_HUMIDITY, QTY_PRESSURE, QTY_TEMPERATURE, const

ID = const(0x60)

_ID_AT = const(0xD0)  # 5.3, table 18
_CTRL_HUM = const(0xF2)
_CTRL_MEAS = const(0xF4)
_DATA = const(0xF7)
_TRIM_LOW = const(0x88)  # 4.2.2, table 16
_TRIM_HIGH = const(0xE1)
_ONCE = const(0x01)  # 5.4.3: humidity oversampling x 1
_FORCED = const(0x25)  # 5.4.5: temperature and pressure oversampling x 1, forced mode
_SLEEPING = const(0x24)  # what remains of it afterwards
_BUSY = const(0x09)  # 5.4.4: measuring, or copying the trim
_TIME_MS = const(10)  # 9.1: 9.3 ms at most
_SKIPPED_20 = const(0x80000)  # 5.4.7, 5.4.8
_SKIPPED_16 = const(0x8000)  # 5.4.9
_FULL_HUMIDITY = const(419430400)  # 4.2.3: 100 %


def make(number: int, place, hardware) -> "Bme280":
    """`place`: (I2C bus, address)."""
    bus, address = place
    return Bme280(number, hardware.i2c(bus), address)


class Bme280(TimedSensor):
    """Temperature in 0.01 degree C, -40 to 85; humidity in 0.01 %; pressure in Pa, 30,000 to 110,000."""

    __slots__ = ("_address", "_bus", "_trim")
    QUANTITY = QTY_TEMPERATURE

    def __init__(self, number: int, bus, address: int) -> None:
        super().__init__(number)
        self._bus = bus
        self._address = address
        self._trim = ()

    def prepare(self) -> None:
        """Knows the chip by its id and reads its trim."""
        if self._read(_ID_AT, 1)[0] != ID:
            raise OSError("no BME280")
        if self._read(_CTRL_HUM, 2)[1] & _BUSY:
            raise OSError("not started up")
        low, high = self._read(_TRIM_LOW, 26), self._read(_TRIM_HIGH, 7)
        if low != self._read(_TRIM_LOW, 26) or high != self._read(_TRIM_HIGH, 7):
            raise OSError("trim")  # it has no CRC, and is kept
        self._trim = read_trim(low, high)

    def begin(self) -> int:
        """Starts a measurement. Humidity's setting counts from the write of the other (5.4.3)."""
        self._bus.write(self._address, _CTRL_HUM, bytes((_ONCE,)))
        self._bus.write(self._address, _CTRL_MEAS, bytes((_FORCED,)))
        return _TIME_MS

    def collect(self) -> "int | None":
        """Reads the result."""
        data = self._read(_DATA, 8)
        humidity, status, control = self._read(_CTRL_HUM, 3)
        if status & _BUSY:
            return None
        pressure = data[0] << 12 | data[1] << 4 | data[2] >> 4
        temperature = data[3] << 12 | data[4] << 4 | data[5] >> 4
        moisture = data[6] << 8 | data[7]
        if humidity != _ONCE or control != _SLEEPING:
            raise OSError("lost its settings")
        if pressure == _SKIPPED_20 or temperature == _SKIPPED_20 or moisture == _SKIPPED_16:
            raise OSError("did not measure")
        fine = t_fine(self._trim, temperature)
        celsius = fine * 5 + 128 >> 8
        pascal = to_pressure(self._trim, pressure, fine) + 128 >> 8
        percent = to_humidity(self._trim, moisture, fine)
        wet = not 0 <= percent <= _FULL_HUMIDITY
        percent = (min(max(percent, 0), _FULL_HUMIDITY) >> 12) * 25 + 128 >> 8
        self.saturated = not -4000 <= celsius <= 8500
        self.others = ((QTY_HUMIDITY, percent, wet), (QTY_PRESSURE, pascal, not 30000 <= pascal <= 110000))
        return celsius

    def _read(self, register: int, count: int) -> bytearray:
        data = bytearray(count)
        self._bus.read(self._address, register, data)
        return data


def read_trim(low, high) -> tuple:
    """(T1 to T3, P1 to P9, H1 to H6) from the two parts of the chip's memory (4.2.2, table 16)."""
    words = struct.unpack("<HhhHhhhhhhhhxB", low)
    h2, h3, h4, between, h5, h6 = struct.unpack("<hBbBbb", high)
    return words + (h2, h3, h4 << 4 | between & 15, h5 << 4 | between >> 4, h6)


def t_fine(trim: tuple, raw: int) -> int:
    """Temperature in 1/5120 degree C, which pressure and humidity need too (4.2.3)."""
    t1, t2, t3 = trim[:3]
    part = ((raw >> 3) - (t1 << 1)) * t2 >> 11
    off = (raw >> 4) - t1
    return part + ((off * off >> 12) * t3 >> 14)


def to_pressure(trim: tuple, raw: int, fine: int) -> int:
    """Pressure in 1/256 Pa (4.2.3, with 64 bits)."""
    p1, p2, p3, p4, p5, p6, p7, p8, p9 = trim[3:12]
    off = fine - 128000
    shift = off * off * p6 + (off * p5 << 17) + (p4 << 35)
    scale = ((1 << 47) + (off * off * p3 >> 8) + (off * p2 << 12)) * p1 >> 33
    if scale <= 0:
        raise OSError("trim")
    p = ((1048576 - raw << 31) - shift) * 3125 // scale
    return (p + (p9 * (p >> 13) * (p >> 13) >> 25) + (p8 * p >> 19) >> 8) + (p7 << 4)


def to_humidity(trim: tuple, raw: int, fine: int) -> int:
    """Humidity in 1/4194304 % (4.2.3), not limited to 0 to 100 %."""
    h1, h2, h3, h4, h5, h6 = trim[12:]
    off = fine - 76800
    gain = ((off * h6 >> 10) * ((off * h3 >> 11) + 32768) >> 10) + 2097152
    value = ((raw << 14) - (h4 << 20) - h5 * off + 16384 >> 15) * (gain * h2 + 8192 >> 14)
    return value - (((value >> 15) * (value >> 15) >> 7) * h1 >> 4)
