"""INA219, current and power monitor (TI SBOS448G).

Rules: section numbers are the datasheet's. Registers have 16 bits, high byte first; the pointer stays where it was
set, a read does not move it (8.5.6). Conversions of shunt and bus follow each other; the results appear together.
"""

from __future__ import annotations

from fieldline_boards.emulated.chips.i2c import I2cChip

CONFIG, SHUNT, BUS, POWER, CURRENT, CALIBRATION = range(6)  # 8.6.1, table 2

_CONFIG_RESET = 0x399F
_RESET_BIT = 0x8000
_CONFIG_MASK = 0x3FFF  # bit 14 is not used
_CONVERSION_US = (84, 148, 276, 532)  # 8.6.2.1, table 5: 9 to 12 bits
_AVERAGED_US = (532, 1060, 2130, 4260, 8510, 17020, 34050, 68100)  # 1 to 128 samples
_SHUNT_LSB = 10e-6  # V (8.6.3.1)
_BUS_LSB = 4e-3  # V (8.6.3.2)
_BUS_READY, _BUS_OVERFLOW = 0x0002, 0x0001


class Ina219(I2cChip):
    """`amps` flow through a shunt of `ohms`; `volts` are at IN-."""

    def __init__(
        self,
        address: int = 0x40,
        *,
        ohms: float = 0.1,
        amps: float = 0.0,
        volts: float = 0.0,
        config_reset: int = _CONFIG_RESET,
    ) -> None:
        """`config_reset` is another one for a relative of the chip: an INA226 has 4127h."""
        super().__init__(address)
        self._config_reset = config_reset
        self.ohms = ohms
        self.amps = amps
        self.volts = volts
        self.registers = [0] * 6
        self._pointer = 0
        self._got: list[int] = []
        self._sent = 0
        self._done_us: int | None = None

    def power_on(self) -> None:
        """Continuous conversions begin (8.5.6.2)."""
        self.registers = [self._config_reset, 0, 0, 0, 0, 0]
        self._pointer = 0
        self._begin()

    def start(self, read: bool) -> bool:
        """The bytes of a write begin with the pointer."""
        self._got = []
        self._sent = 0
        return True

    def write(self, byte: int) -> bool:
        """Pointer, high byte, low byte."""
        self._got.append(byte)
        if len(self._got) == 1:
            self._pointer = byte
        elif len(self._got) == 3:
            self._write(self._got[1] << 8 | self._got[2])
        return True

    def read(self) -> int:
        """High byte, low byte, and again."""
        self._convert()
        number = self.registers[self._pointer] if self._pointer < len(self.registers) else 0
        self._sent += 1
        if self._sent % 2:
            return number >> 8
        if self._pointer == POWER:
            self.registers[BUS] &= ~_BUS_READY  # 8.6.3.2: reading the power register clears CNVR
        return number & 0xFF

    def _write(self, number: int) -> None:
        if self._pointer == CONFIG:
            if number & _RESET_BIT:
                self.power_on()
                return
            self.registers[CONFIG] = number & _CONFIG_MASK
            self.registers[BUS] &= ~_BUS_READY
            self._begin()
        elif self._pointer == CALIBRATION:
            self.registers[CALIBRATION] = number & 0xFFFE  # 8.6.4.1: bit 0 is void

    def _begin(self) -> None:
        """A conversion starts where the mode (8.6.2.1, table 6) asks for one."""
        config = self.registers[CONFIG]
        took = (config & 1) * _time(config >> 3) + (config >> 1 & 1) * _time(config >> 7)
        self._done_us = self.clock.us + round(took * self.slow) if took and config & 7 != 4 else None

    def _convert(self) -> None:
        if self._done_us is None or self.clock.us < self._done_us:
            return
        config = self.registers[CONFIG]
        self._done_us = None
        flags = _BUS_READY
        if config & 1:
            full = 4000 << (config >> 11 & 3)  # 8.6.3.1: 40 mV times the PGA's divisor
            self.registers[SHUNT] = _clipped(self.amps * self.ohms / _SHUNT_LSB, -full, full) & 0xFFFF
        if config & 2:
            top = 16_000 if config & 0x2000 == 0 else 32_760
            self.registers[BUS] = _clipped(self.volts / _BUS_LSB, 0, top // 4) << 3
        current = _signed(self.registers[SHUNT]) * self.registers[CALIBRATION] // 4096  # 8.5.1, equation 4
        power = abs(current) * (self.registers[BUS] >> 3) // 5000  # equation 5
        if not -0x8000 <= current <= 0x7FFF or power > 0xFFFF:
            flags |= _BUS_OVERFLOW
        self.registers[CURRENT] = current & 0xFFFF
        self.registers[POWER] = power & 0xFFFF
        self.registers[BUS] = self.registers[BUS] & 0xFFF8 | flags
        if config & 4:
            self._begin()


def _time(setting: int) -> int:
    return _AVERAGED_US[setting & 7] if setting & 8 else _CONVERSION_US[setting & 3]


def _clipped(number: float, low: int, high: int) -> int:
    return min(max(round(number), low), high)


def _signed(number: int) -> int:
    return number - 0x10000 if number & 0x8000 else number
