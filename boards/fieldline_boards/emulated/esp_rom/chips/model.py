"""What the emulation knows of a chip: register addresses, eFuse layout, factory contents.

Rules: data only, no behaviour. Addresses and bit numbers are those of the chip's Technical Reference Manual
(TRM), chapters "eFuse Controller", "SPI Controller", "UART Controller"; the field names are those of its
table "Parameters in eFuse BLOCK0". ESP-IDF has the same numbers in soc/<chip>/efuse_reg.h and
efuse/<chip>/esp_efuse_table.csv.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Field:
    """Some bits of BLOCK0. `write_disable`, `read_disable`: their bit in WR_DIS and RD_DIS."""

    name: str
    bit: int
    width: int
    write_disable: int | None = None
    read_disable: int | None = None

    @property
    def mask(self) -> int:
        return ((1 << self.width) - 1) << self.bit


@dataclass(frozen=True, slots=True)
class ReadDisable:
    """The bytes that one bit of RD_DIS hides."""

    bit: int
    start: int = 0
    end: int = 32


@dataclass(frozen=True, slots=True)
class Block:
    """One eFuse block. Offsets count from the controller's base; `program` is where its data are written."""

    number: int
    words: int
    read: int
    program: int = 0
    write_disable: int | None = None
    read_disable: tuple[ReadDisable, ...] = ()


@dataclass(frozen=True, slots=True)
class Preset:
    """A value that the factory burns: `width` bits from `bit` of `block`."""

    block: int
    bit: int
    width: int
    value: int


@dataclass(frozen=True, slots=True)
class EfuseLayout:
    """The eFuse controller. `reed_solomon`: blocks from 1 are coded, all share the programming registers."""

    base: int
    size: int
    blocks: tuple[Block, ...]
    fields: tuple[Field, ...]
    conf: int
    command: int
    reed_solomon: bool
    errors: tuple[int, ...] = ()  # RD_RS_ERR registers, eight blocks each, four bits a block
    fail_bit: int = 3  # of FAIL, counted from the first of the block's four bits

    def field(self, name: str) -> Field | None:
        return next((entry for entry in self.fields if entry.name == name), None)


@dataclass(frozen=True, slots=True)
class SpiRegisters:
    """The SPI controller of the flash, as offsets from `base`."""

    base: int
    user: int = 0x18
    user1: int = 0x1C
    user2: int = 0x20
    w0: int = 0x58
    address_high: bool = False  # the address stands in the register's highest bits


@dataclass(frozen=True, slots=True)
class Chip:
    """One chip of the family. `security_info`: bytes of the GET_SECURITY_INFO answer, 0 for none."""

    name: str
    title: str
    efuse: EfuseLayout
    spi: SpiRegisters
    mac: Preset  # its value is ignored
    uart_clock_divider: int
    security_info: int
    image_chip_id: int
    presets: tuple[Preset, ...] = ()
    mac_crc: Preset | None = None
    registers: Mapping[int, int] = field(default_factory=dict)  # reset values that are not 0
    stub_hook: int | None = None  # RAM word that the ROM's flash read jumps through
    xtal_hz: int = 40_000_000
