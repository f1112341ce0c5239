"""Sensors that need more than a pin: the buses of a board's TOML, and where and how each sensor is wired.

Rules: a place is what the node's sensor is made with (fieldline_node/sensors/<kind>.py): numbers, bytes and tuples
of them. Whatever cannot work is a ConfigError that names the line: pins that the chip cannot use for a bus, an
address that the chip cannot have or another has, a ROM code with a typing error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fieldline_boards.chips import RP2, Chip
from fieldline_boards.pins import ranges
from fieldline_boards.spec import Pin, Place
from fieldline_host.tomlfile import Table

_I2C, _ONE_WIRE = "i2c", "one_wire"
_MOST_BUSES = 8
_FASTEST_HZ = 400_000  # LIS3DH, table 7: the slowest of the chips
_LARGEST_DROP_NV = 320_000_000  # INA219 (SBOS448G 8.6.2.1): mA times microohm
_SMALLEST_DROP_NV = 1_000_000  # 100 steps of its converter
_DS18B20_FAMILY = 0x28
_LIS3DH_RANGES = (2, 4, 8, 16)  # g
_LIS3DH_RATES = (50, 100, 200, 400, 1344)  # Hz
_LIS3DH_LEVELS = 32  # of its FIFO


class Pins(Protocol):
    """The board's pins; each is given once."""

    def wire(self, table: Table, key: str, use: str) -> Pin:
        """The pin that `key` names, which can be driven."""
        ...

    def sensor(self, table: Table, name: str) -> Pin:
        """The input pin of a sensor."""
        ...


@dataclass(frozen=True, slots=True)
class _Bus:
    kind: str
    place: Place
    taken: dict[int | bytes | None, str]  # addresses, ROM codes (None: the only chip), and whose they are


class Wiring:
    """The buses of a board; gives each sensor its place."""

    def __init__(self, chip: Chip, tables: list[Table], pins: Pins) -> None:
        self._chip = chip
        self._pins = pins
        self._buses: dict[str, _Bus] = {}
        if len(tables) > _MOST_BUSES:
            raise tables[_MOST_BUSES].error(None, f"a board has at most {_MOST_BUSES} buses")
        for table in tables:
            name = table.need("name", str)
            if name in self._buses:
                raise table.error("name", f"there are two buses called '{name}'")
            kind = table.choice("kind", (_I2C, _ONE_WIRE))
            place = self._i2c(table, name) if kind == _I2C else pins.wire(table, "pin", f"bus '{name}'")
            self._buses[name] = _Bus(kind, place, {})

    def place(self, kind: str, table: Table, name: str) -> Place | None:
        """Where the sensor of `kind` is; None where the kind is only known by a pin, or by nothing."""
        make = _PLACES.get(kind)
        return None if make is None else make(self, table, name)

    def _i2c(self, table: Table, name: str) -> Place:
        number = table.integer("number", low=self._chip.i2c[0], high=self._chip.i2c[-1])
        for other, bus in self._buses.items():
            if isinstance(bus.place, tuple) and bus.place[0] == number:
                raise table.error("number", f"I2C {number} is bus '{other}' already; give the other one")
        lines = {key: self._pins.wire(table, key, f"bus '{name}'") for key in ("scl", "sda")}
        for key, pin in lines.items():
            first = number * 2 + (key == "scl")  # RP2040 datasheet 1.4.3: every fourth pin
            if self._chip.family == RP2 and (not isinstance(pin, int) or pin % 4 != first):
                fit = ", ".join(str(each) for each in range(first, 28, 4))
                raise table.error(key, f"pin {pin} cannot be {key} of I2C {number}; those that can are {fit}")
        hz = table.integer("hz", _FASTEST_HZ, low=10_000, high=_FASTEST_HZ)
        return number, lines["scl"], lines["sda"], hz

    def _on_bus(self, kind: str, table: Table) -> _Bus:
        wanted = table.need("bus", str)
        bus = self._buses.get(wanted)
        if bus is None:
            known = ", ".join(self._buses) or "none; add a [[bus]]"
            raise table.error("bus", f"this board has no bus '{wanted}'; it has {known}")
        if bus.kind != kind:
            raise table.error("bus", f"bus '{wanted}' is {bus.kind}, this sensor needs {kind}")
        return bus

    def _address(self, table: Table, name: str, addresses: range) -> tuple[Place, int]:
        """The bus's place and the address on it; the default is the chip's lowest."""
        bus = self._on_bus(_I2C, table)
        address = table.integer("address", addresses[0], low=addresses[0], high=addresses[-1])
        if address in bus.taken:
            raise table.error("address", f"address 0x{address:02x} is sensor '{bus.taken[address]}' already")
        bus.taken[address] = name
        return bus.place, address

    def _ds18b20(self, table: Table, name: str) -> Place:
        bus = self._on_bus(_ONE_WIRE, table)
        text = table.get("rom", str)
        rom = None if text is None else _rom(table, text)
        if rom in bus.taken:
            other = bus.taken[rom]
            raise table.error("rom", f"this ROM code is sensor '{other}' already" if rom else _no_rom(other))
        if bus.taken and (rom is None or None in bus.taken):
            raise table.error("rom", _no_rom(next(iter(bus.taken.values()))))
        bus.taken[rom] = name
        return bus.place, rom, table.integer("bits", 12, low=9, high=12)

    def _ina219(self, table: Table, name: str) -> Place:
        where = self._address(table, name, range(0x40, 0x50))
        shunt = table.integer("shunt_uohm", 100_000, low=10, high=100_000_000)
        most = table.integer("max_ma", 3_200, low=1, high=1_000_000)
        if not _SMALLEST_DROP_NV <= shunt * most <= _LARGEST_DROP_NV:
            raise table.error(
                "max_ma",
                f"{most} mA through {shunt} microohm drop {shunt * most / 1e6:g} mV; it must be 1 to 320 mV",
            )
        return *where, shunt, most

    def _bme280(self, table: Table, name: str) -> Place:
        return self._address(table, name, range(0x76, 0x78))

    def _lis3dh(self, table: Table, name: str) -> Place:
        return (
            *self._address(table, name, range(0x18, 0x1A)),
            _one_of(table, "range_g", 2, _LIS3DH_RANGES),
            _one_of(table, "rate_hz", 400, _LIS3DH_RATES),
            _one_of(table, "samples", 128, range(_LIS3DH_LEVELS, 1025, _LIS3DH_LEVELS)),
        )

    def _voltage(self, table: Table, name: str) -> Place:
        pin = self._pins.sensor(table, name)
        if pin not in self._chip.adc:
            fit = ranges(self._chip.adc)
            why = " that works beside Wi-Fi" if "ADC2" in str(self._chip.functions.get(int(pin))) else ""
            raise table.error("pin", f"pin {pin} has no converter{why}; those that have are {fit}")
        above = table.integer("above_ohm", 0, low=0, high=100_000_000)
        below = table.integer("below_ohm", None if above else 1, low=1, high=100_000_000)
        return pin, table.integer("full_mv", 3_300, low=500, high=5_500), above, below


_PLACES: Mapping[str, Callable[[Wiring, Table, str], Place]] = {
    "ds18b20": Wiring._ds18b20,
    "ina219": Wiring._ina219,
    "bme280": Wiring._bme280,
    "lis3dh": Wiring._lis3dh,
    "voltage": Wiring._voltage,
}
KINDS = tuple(_PLACES)
"""Kinds of sensors that have a place."""


def _rom(table: Table, text: str) -> bytes:
    """A ROM code as the chip sends it: family, serial number, CRC, in hexadecimal."""
    try:
        rom = bytes.fromhex(text)
    except ValueError:
        rom = b""
    if len(rom) != 8:
        raise table.error(
            "rom", f"a ROM code has 16 hexadecimal digits, such as 28ff641e8416036b, not '{text}'"
        )
    if _crc8(rom):
        raise table.error("rom", f"the CRC of ROM code {text} is wrong; is a digit mistyped?")
    if rom[0] != _DS18B20_FAMILY:
        raise table.error("rom", f"{text} is no DS18B20, whose ROM codes begin with 28")
    return rom


def _no_rom(other: str) -> str:
    return f"sensor '{other}' is on this bus too; each needs its ROM code: rom = \"28...\""


def _crc8(data: bytes) -> int:
    """x^8 + x^5 + x^4 + 1, lowest bit first (DS18B20 datasheet, "CRC Generation")."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x8C if crc & 1 else 0)
    return crc


def _one_of(table: Table, key: str, default: int, choices: range | tuple[int, ...]) -> int:
    value = table.integer(key, default, low=choices[0], high=choices[-1])
    if value not in choices:
        few = isinstance(choices, tuple)
        said = ", ".join(map(str, choices)) if few else f"a multiple of {choices[0]}"
        raise table.error(key, f"'{key}' must be {said}, not {value}")
    return value
