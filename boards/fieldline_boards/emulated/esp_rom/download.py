"""One flash download: what a FLASH_BEGIN or FLASH_DEFL_BEGIN starts and its blocks go on with.

Rules: knows neither requests nor answers. Sectors are erased before they are written, all at once (`erase`)
or as the blocks come (`write` does what is left).
"""

from __future__ import annotations

import zlib

from fieldline_boards.emulated.esp_rom.errors import FlashError, PeerError
from fieldline_boards.emulated.esp_rom.flash import BLOCK, SECTOR, Flash


class Download:
    """`size` bytes to come for `offset`."""

    def __init__(self, flash: Flash, offset: int, size: int, *, compressed: bool) -> None:
        if offset + size > flash.size:
            raise FlashError(f"{size:#x} bytes at {offset:#x} are outside a flash of {flash.size:#x} bytes")
        self._flash = flash
        self._position = offset
        self._erased = offset - offset % SECTOR
        self._end = offset + size + -(offset + size) % SECTOR
        self._inflate = zlib.decompressobj() if compressed else None
        self.compressed = compressed
        self.remaining = size

    def erase(self) -> None:
        """Erase all that is to be written."""
        self._erase_to(self._end)

    def unpack(self, payload: bytes) -> bytes:
        """The bytes to write, at most one more than the flash holds; PeerError for no deflate stream."""
        if self._inflate is None:
            return payload
        room = self._flash.size - self._position
        try:
            return self._inflate.decompress(payload, room + 1)
        except zlib.error as error:
            raise PeerError(f"deflate: {error}") from None

    def write(self, data: bytes) -> None:
        """Program the next bytes; FlashError where the flash ends."""
        self._erase_to(min(self._position + len(data), self._end))
        self._flash.program(self._position, data)
        self._position += len(data)
        self.remaining = max(self.remaining - len(data), 0)

    def _erase_to(self, target: int) -> None:
        while self._erased < target:
            whole_block = self._erased % BLOCK == 0 and self._end - self._erased >= BLOCK
            step = BLOCK if whole_block else SECTOR
            self._flash.erase(self._erased, step)
            self._erased += step
