"""The SPI NOR flash chip of an emulated board (JESD216, GigaDevice GD25Q datasheet).

Rules: erased is 0xFF, programming only clears bits, a page is 256 bytes, a sector 4 KiB, a block 64 KiB.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from fieldline_boards.emulated.esp_rom.errors import FlashError, PowerCut
from fieldline_boards.emulated.esp_rom.mapped import mapped_memory
from fieldline_boards.emulated.esp_rom.power import Supply
from fieldline_boards.errors import BoardError

PAGE, SECTOR, BLOCK = 256, 4 * 1024, 64 * 1024
SIZES_MB = (1, 2, 4, 8, 16)  # with 24-bit addresses, the only kind that the ROM loaders know
MANUFACTURER = 0xC8  # GigaDevice, JEP106
MEMORY_TYPE = 0x40  # GD25Q
CAPACITY_1MB = 0x14  # 2**20 bytes


class Flash:
    """A flash chip of `size_mb` megabytes; `path` None keeps it in memory only."""

    def __init__(self, size_mb: int, supply: Supply, path: Path | None = None) -> None:
        if size_mb not in SIZES_MB:
            raise BoardError(f"flash size must be one of {', '.join(map(str, SIZES_MB))} MB, not {size_mb}")
        self.size = size_mb << 20
        self._supply = supply
        self._memory = mapped_memory(path, b"\xff" * self.size, f"a flash of {size_mb} MB")

    @property
    def jedec_id(self) -> int:
        """Answer to command 0x9F, first byte lowest."""
        capacity = CAPACITY_1MB + (self.size >> 20).bit_length() - 1
        return MANUFACTURER | MEMORY_TYPE << 8 | capacity << 16

    def read(self, offset: int, size: int) -> bytes:
        self._check(offset, size)
        return self._memory[offset : offset + size]

    def md5(self, offset: int, size: int) -> bytes:
        self._check(offset, size)
        with memoryview(self._memory) as view:
            return hashlib.md5(view[offset : offset + size], usedforsecurity=False).digest()

    def erase(self, offset: int, size: int) -> None:
        """Erase the sectors that overlap offset..offset+size, by 64 KiB blocks where they fit."""
        self._check(offset, size)
        start = offset - offset % SECTOR
        end = offset + size + -(offset + size) % SECTOR
        while start < end:
            step = BLOCK if start % BLOCK == 0 and end - start >= BLOCK else SECTOR
            self._erase_once(start, step)
            start += step

    def erase_chip(self) -> None:
        """Command 0xC7: the whole chip in one operation."""
        self._erase_once(0, self.size)

    def program(self, offset: int, data: bytes) -> None:
        """Program page by page; bits that are 0 stay 0."""
        self._check(offset, len(data))
        position = 0
        while position < len(data):
            room = PAGE - (offset + position) % PAGE
            self._program_page(offset + position, data[position : position + room])
            position += room

    def write(self, offset: int, data: bytes) -> None:
        """Replace bytes from outside, as a programmer clipped to the chip does; not counted."""
        self._check(offset, len(data))
        self._memory[offset : offset + len(data)] = data

    def close(self) -> None:
        self._memory.close()

    def _erase_once(self, start: int, size: int) -> None:
        self._change(start, b"\xff" * size, f"while erasing {size} bytes at {start:#x}")

    def _program_page(self, start: int, data: bytes) -> None:
        old = int.from_bytes(self._memory[start : start + len(data)], "little")
        new = old & int.from_bytes(data, "little")
        self._change(start, new.to_bytes(len(data), "little"), f"while programming the page at {start:#x}")

    def _change(self, start: int, new: bytes, what: str) -> None:
        """One operation."""
        cut = self._supply.spend()
        end = start + len(new)
        self._memory[start:end] = cut.mix(self._memory[start:end], new) if cut else new
        if cut:
            raise PowerCut(what)

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise FlashError(f"{size:#x} bytes at {offset:#x} are outside a flash of {self.size:#x} bytes")
