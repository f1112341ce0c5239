"""DS18B20, a thermometer on a 1-Wire bus (Maxim 19-7487 Rev 6; powered from outside).

Rules: TH and TL carry a mark, which the chip forgets without power. What comes without it is not what was asked
for: 85 degrees after a power failure, or a line that is shorted, whose zeros have a right CRC. A CRC error is read
again once: the result stays.
"""

from fieldline_node.sensors.timed import TimedSensor
from fieldline_wire.codes import QTY_TEMPERATURE, const

FAMILY = const(0x28)

_READ_ROM = const(0x33)  # table 3
_MATCH_ROM = const(0x55)
_SKIP_ROM = const(0xCC)
_CONVERT = const(0x44)
_WRITE_SCRATCHPAD = const(0x4E)
_READ_SCRATCHPAD = const(0xBE)
_MARK = b"\x5a\xa5"
_TIMES_MS = (94, 188, 375, 750)  # table 2, for 9 to 12 bits
_LOWEST = const(-880)  # sixteenths of a degree: -55 degrees C
_HIGHEST = const(2000)  # 125 degrees C
_READS = const(2)


def make(number: int, place, hardware) -> "Ds18b20":
    """`place`: (pin, ROM code or None for the only chip on the bus, bits)."""
    pin, rom, bits = place
    return Ds18b20(number, hardware.one_wire(pin), rom, bits)


class Ds18b20(TimedSensor):
    """Temperature in 0.01 degree C, -55 to 125."""

    __slots__ = ("_bits", "_bus", "_marked", "_rom")
    QUANTITY = QTY_TEMPERATURE

    def __init__(self, number: int, bus, rom: "bytes | None", bits: int) -> None:
        """`bus`: a 1-Wire bus (ports.py); `bits`: 9 to 12."""
        super().__init__(number)
        self._bus = bus
        self._rom = rom
        self._bits = bits
        self._marked = _MARK + bytes(((bits - 9) << 5 | 0x1F,))  # TH, TL, configuration (figures 9 and 10)

    def prepare(self) -> None:
        """Marks the chip and sets its resolution."""
        if self._rom is None:
            self._bus.reset()
            self._bus.write(bytes((_READ_ROM,)))
            rom = bytearray(8)
            self._bus.read(rom)
            if rom[0] != FAMILY or crc8(rom):
                raise OSError("not one DS18B20")
        self._select(_WRITE_SCRATCHPAD, self._marked)

    def begin(self) -> int:
        """Starts a conversion."""
        self._select(_CONVERT)
        return _TIMES_MS[self._bits - 9]

    def collect(self) -> int:
        """Reads the result."""
        data = bytearray(9)
        for _ in range(_READS):
            self._select(_READ_SCRATCHPAD)
            self._bus.read(data)
            if not crc8(data):
                break
        else:
            raise OSError("CRC")
        if data[2:5] != self._marked:
            raise OSError("lost its settings")
        sixteenths = to_sixteenths(data[0] | data[1] << 8, self._bits)
        self.saturated = not _LOWEST < sixteenths < _HIGHEST
        return (sixteenths * 25 + 2) // 4

    def _select(self, command: int, data: bytes = b"") -> None:
        self._bus.reset()
        address = bytes((_SKIP_ROM,)) if self._rom is None else bytes((_MATCH_ROM,)) + self._rom
        self._bus.write(address + bytes((command,)) + data)


def to_sixteenths(register: int, bits: int) -> int:
    """1/16 degree C from the temperature register; bits that the resolution leaves undefined count as 0."""
    register &= 0xFFFF << (12 - bits)
    return register - 0x10000 if register & 0x8000 else register


def crc8(data) -> int:
    """0 where the last byte is the CRC of those before it ("CRC Generation": x^8 + x^5 + x^4 + 1)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc
