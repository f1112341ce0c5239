"""DS18B20, 1-Wire thermometer (Maxim 19-7487 Rev 6).

Rules: figures and tables are the datasheet's. Powered from outside, not by the line. Until a conversion is over
the scratchpad holds the temperature of the one before, 85 degrees after power-on. Bits that the resolution leaves
undefined are ones here, so that who does not mask them sees it.
"""

from __future__ import annotations

from fieldline_boards.emulated.chips.one_wire import Dialogue, OneWireChip, crc8, hear, say

FAMILY = 0x28

_CONVERT = 0x44  # function commands (table 3)
_WRITE_SCRATCHPAD = 0x4E
_READ_SCRATCHPAD = 0xBE
_COPY_SCRATCHPAD = 0x48
_RECALL = 0xB8
_READ_POWER = 0xB4

_POWER_ON_RAW = 0x0550  # 85 degrees C (figure 5, table 1)
_RESERVED = bytes((0xFF, 0x0C, 0x10))  # figure 9: bytes 5 to 7
_CONFIG_ONES = 0x1F  # figure 10: bits 0 to 4 read 1, bit 7 reads 0
_CONVERSION_US = {9: 93_750, 10: 187_500, 11: 375_000, 12: 750_000}  # table 2
_LOWEST, _HIGHEST = -55.0, 125.0


class Ds18b20(OneWireChip):
    """`celsius` is what it is put into. `eeprom` is TH, TL and configuration, kept without power."""

    def __init__(self, serial: bytes = bytes(6), *, family: int = FAMILY, celsius: float = 20.0) -> None:
        super().__init__(family, serial)
        self.celsius = celsius
        self.eeprom = bytes((0x4B, 0x46, 0x7F))
        self._memory = self.eeprom
        self._raw = _POWER_ON_RAW
        self._done_us: int | None = None

    def power_on(self) -> None:
        """TH, TL and configuration come from EEPROM; no conversion runs."""
        self._memory = self.eeprom
        self._raw = _POWER_ON_RAW
        self._done_us = None

    @property
    def bits(self) -> int:
        """Resolution."""
        return 9 + (self._memory[2] >> 5 & 3)

    def alarmed(self) -> bool:
        """The last temperature's whole degrees against TH and TL."""
        degrees = _signed(self._raw >> 4 & 0xFF)
        return degrees >= _signed(self._memory[0]) or degrees <= _signed(self._memory[1])

    def scratchpad(self) -> bytes:
        """All nine bytes (figure 9)."""
        self._finish()
        body = self._raw.to_bytes(2, "little") + self._memory + _RESERVED
        return body + bytes((crc8(body),))

    def function(self, command: int) -> Dialogue:
        """A function command of table 3."""
        if command == _CONVERT:
            self._finish()
            self._done_us = self.clock.us + _CONVERSION_US[self.bits]
            while True:
                yield int(not self._converts())
        elif command == _WRITE_SCRATCHPAD:
            for place in range(3):
                byte = yield from hear(8)
                if place == 2:
                    byte = byte & 0x60 | _CONFIG_ONES
                self._memory = self._memory[:place] + bytes((byte,)) + self._memory[place + 1 :]
        elif command == _READ_SCRATCHPAD:
            yield from say(self.scratchpad())
        elif command == _COPY_SCRATCHPAD:
            self.eeprom = self._memory
        elif command == _RECALL:
            self._memory = self.eeprom
        elif command == _READ_POWER:
            yield 1

    def _converts(self) -> bool:
        return self._done_us is not None and self.clock.us < self._done_us

    def _finish(self) -> None:
        if self._done_us is None or self._converts():
            return
        self._done_us = None
        bits = self.bits
        sixteenths = int(min(max(self.celsius, _LOWEST), _HIGHEST) * 16 // 1)
        undefined = (1 << (12 - bits)) - 1
        self._raw = (sixteenths | undefined) & 0xFFFF


def _signed(byte: int) -> int:
    return byte - 256 if byte & 0x80 else byte
