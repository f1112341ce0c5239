"""BME280, humidity, pressure and temperature sensor (Bosch BST-BME280-DS002).

Rules: section numbers are the datasheet's. What it measures is turned into raw values by searching for those which
the datasheet's floating-point formulas (8.1) turn back: it knows nothing of the integer ones. A measurement that
is switched off gives the raw value of a reset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fieldline_boards.emulated.chips.i2c import I2cChip

ID = 0x60

_ID_AT, _RESET_AT, _CTRL_HUM, _STATUS, _CTRL_MEAS, _CONFIG, _DATA = (
    0xD0,
    0xE0,
    0xF2,
    0xF3,
    0xF4,
    0xF5,
    0xF7,
)  # 5.3
_SOFT_RESET = 0xB6  # 5.4.2
_MEASURING, _COPYING = 0x08, 0x01  # 5.4.4
_START_UP_US = 2000  # table 1: time to first communication, at most
_NOT_MEASURED_20, _NOT_MEASURED_16 = 0x80000, 0x8000  # 5.4.7 to 5.4.9
_OVERSAMPLING = (0, 1, 2, 4, 8, 16, 16, 16)  # 5.4.3


@dataclass(frozen=True, slots=True)
class Trim:
    """The compensation words (4.2.2, table 16)."""

    t: tuple[int, ...]
    p: tuple[int, ...]
    h: tuple[int, ...]

    def memory(self) -> dict[int, int]:
        """Bytes by register."""
        words = [self.t[0], *self.t[1:], self.p[0], *self.p[1:]]
        low = b"".join((word & 0xFFFF).to_bytes(2, "little") for word in words)
        h1, h2, h3, h4, h5, h6 = self.h
        low += bytes((0, h1))
        high = (h2 & 0xFFFF).to_bytes(2, "little")
        high += bytes((h3, h4 >> 4 & 0xFF, (h4 & 0xF) | (h5 & 0xF) << 4, h5 >> 4 & 0xFF, h6 & 0xFF))
        return {0x88 + i: byte for i, byte in enumerate(low)} | {
            0xE1 + i: byte for i, byte in enumerate(high)
        }

    def temperature(self, raw: float) -> tuple[float, float]:
        """Degrees C and t_fine (8.1)."""
        t1, t2, t3 = self.t
        fine = (raw / 16384 - t1 / 1024) * t2 + (raw / 131072 - t1 / 8192) ** 2 * t3
        return fine / 5120, fine

    def pressure(self, raw: float, fine: float) -> float:
        """Pa (8.1)."""
        p1, p2, p3, p4, p5, p6, p7, p8, p9 = self.p
        var1 = fine / 2 - 64000
        var2 = var1 * var1 * p6 / 32768 + var1 * p5 * 2
        var2 = var2 / 4 + p4 * 65536
        var1 = (1 + (p3 * var1 * var1 / 524288 + p2 * var1) / 524288 / 32768) * p1
        pascal = (1048576 - raw - var2 / 4096) * 6250 / var1
        return pascal + (p9 * pascal * pascal / 2147483648 + pascal * p8 / 32768 + p7) / 16

    def humidity(self, raw: float, fine: float) -> float:
        """%, not limited to 0 to 100 (8.1)."""
        h1, h2, h3, h4, h5, h6 = self.h
        var = fine - 76800
        var = (raw - (h4 * 64 + h5 / 16384 * var)) * (
            h2 / 65536 * (1 + h6 / 67108864 * var * (1 + h3 / 67108864 * var))
        )
        return var * (1 - h1 * var / 524288)


# BMP280 datasheet BST-BMP280-DS001 3.12, whose formulas for temperature and pressure are the same; humidity as of a
# chip on the bench, for which no datasheet has an example.
EXAMPLE = Trim(
    t=(27504, 26435, -1000),
    p=(36477, -10685, 3024, 2855, 140, -7, 15500, -14600, 6000),
    h=(75, 362, 0, 313, 50, 30),
)


class Bme280(I2cChip):
    """`celsius`, `pascal` and `percent` are what it is put into; `raw` (t, p, h) is what the ADC gives, if set."""

    def __init__(
        self,
        address: int = 0x76,
        *,
        trim: Trim = EXAMPLE,
        chip_id: int = ID,
        celsius: float = 20.0,
        pascal: float = 101_325.0,
        percent: float = 40.0,
        start_up_us: int = _START_UP_US,
    ) -> None:
        super().__init__(address)
        self.trim = trim
        self.chip_id = chip_id
        self.celsius = celsius
        self.pascal = pascal
        self.percent = percent
        self.raw: tuple[int, int, int] | None = None
        self._registers: dict[int, int] = {}
        self._pointer: int | None = None
        self._start_up_us = start_up_us
        self._up_us = 0
        self._humidity = 0  # osrs_h in force: written ctrl_hum counts from the next ctrl_meas (5.4.3)
        self._done_us: int | None = None

    def power_on(self) -> None:
        """Sleep mode; the trim comes from the chip's own memory."""
        self._registers = self.trim.memory() | {_ID_AT: self.chip_id, _CTRL_HUM: 0, _CTRL_MEAS: 0, _CONFIG: 0}
        self._set_data(_NOT_MEASURED_20, _NOT_MEASURED_20, _NOT_MEASURED_16)
        self._pointer = None
        self._humidity = 0
        self._done_us = None
        self._up_us = self.clock.us + self._start_up_us

    def start(self, read: bool) -> bool:
        """Nothing is acknowledged before it has started up. A write begins with a register's address."""
        if self.clock.us < self._up_us:
            return False
        self._advance()
        if not read:
            self._pointer = None
        return True

    def write(self, byte: int) -> bool:
        """Pairs of address and value (6.2.1): writing does not move on by itself."""
        if self._pointer is None:
            self._pointer = byte
            return True
        at, self._pointer = self._pointer, None
        if at == _RESET_AT:
            if byte == _SOFT_RESET:
                self.power_on()
        elif at in (_CTRL_HUM, _CTRL_MEAS, _CONFIG):
            self._registers[at] = byte
            if at == _CTRL_MEAS:
                self._humidity = self._registers[_CTRL_HUM] & 7
                self._measure()
        return True

    def read(self) -> int:
        """Registers one after the other (6.2.2)."""
        at = 0 if self._pointer is None else self._pointer
        self._pointer = at + 1 & 0xFF
        if at == _STATUS:
            return _MEASURING if self._done_us is not None else 0
        return self._registers.get(at, 0)

    def _measure(self) -> None:
        """Forced mode, 01 or 10; normal mode runs as one measurement here (3.3)."""
        if self._registers[_CTRL_MEAS] & 3:
            self._done_us = self.clock.us + round(self._duration_us() * self.slow)

    def _duration_us(self) -> int:
        """9.1, the maximum."""
        control = self._registers[_CTRL_MEAS]
        t, p, h = (_OVERSAMPLING[x & 7] for x in (control >> 5, control >> 2, self._humidity))
        return 1250 + 2300 * t + (2300 * p + 575) * (p > 0) + (2300 * h + 575) * (h > 0)

    def _advance(self) -> None:
        if self._done_us is None or self.clock.us < self._done_us:
            return
        self._done_us = None
        control = self._registers[_CTRL_MEAS]
        t, p, h = self.raw or self._raws()
        if not control >> 5 & 7:
            t = _NOT_MEASURED_20
        if not control >> 2 & 7:
            p = _NOT_MEASURED_20
        if not self._humidity:
            h = _NOT_MEASURED_16
        self._set_data(t, p, h)
        self._registers[_CTRL_MEAS] = control & 0xFC  # back to sleep

    def _raws(self) -> tuple[int, int, int]:
        t = _search(lambda raw: self.trim.temperature(raw)[0], self.celsius, 20)
        fine = self.trim.temperature(t)[1]
        p = _search(lambda raw: -self.trim.pressure(raw, fine), -self.pascal, 20)
        return t, p, _search(lambda raw: self.trim.humidity(raw, fine), self.percent, 16)

    def _set_data(self, t: int, p: int, h: int) -> None:
        data = (p << 4).to_bytes(3, "big") + (t << 4).to_bytes(3, "big") + h.to_bytes(2, "big")
        self._registers |= {_DATA + i: byte for i, byte in enumerate(data)}


def _search(function: Callable[[float], float], wanted: float, bits: int) -> int:
    """The raw value whose `function`, which rises, comes nearest to `wanted`."""
    raw = 0
    for place in reversed(range(bits)):
        if function(raw | 1 << place) <= wanted:
            raw |= 1 << place
    return raw
