"""The flash chip: a Winbond W25Q16JV (2 MiB NOR, revision J datasheet) behind the RP2040's SSI.

Rules: rp2040py's SSI frames and applies commands; here an operation counts, has its time, goes to the file
before the next instruction, and ends the power where it is the one that was asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

_SECTOR = 4096
_BLOCK = 65536
_PAGE = 256
_HEADER = 4  # opcode and 24-bit address
_UNIQUE_ID_AT = 5  # W25Q16JV 8.2.34: opcode, four dummy bytes, then the id

# W25Q16JV 8.1.2 and 9.6, typical: page program 0.4 ms, sector erase 45 ms, 64 KiB block erase 150 ms.
_PROGRAM, _SECTOR_ERASE, _BLOCK_ERASE, _READ_UNIQUE_ID = 0x02, 0x20, 0xD8, 0x4B
_BUSY_NS = {_PROGRAM: 400_000, _SECTOR_ERASE: 45_000_000, _BLOCK_ERASE: 150_000_000}


class FlashChip:
    """NOR flash that outlives the machine in `file`; `counter` holds its operations, 8 bytes, big-endian."""

    def __init__(
        self, file: Path, counter: Path, unique_id: bytes, timed: bool, cut: Callable[[dict[str, Any]], None]
    ) -> None:
        self.cut_at = 0  # the operation in which power fails, or the next where that is past; 0 is never
        self._memory = file.read_bytes()
        self._file = os.open(file, os.O_RDWR)
        self._counter = os.open(counter, os.O_RDWR)
        self._operations = int.from_bytes(counter.read_bytes(), "big")
        self._unique_id = unique_id
        self._timed = timed
        self._cut = cut

    def attach(self, mcu: Any) -> None:
        """Be the flash of this chip."""
        ssi = mcu.ssi
        mcu.flash[: len(self._memory)] = self._memory
        apply, shift = ssi._apply_command, ssi._shift_byte

        def finish() -> None:
            sent = bytes(ssi._tx_buffer)
            if not sent or sent[0] not in _BUSY_NS or not ssi._write_enabled or len(sent) < _HEADER:
                apply()
                return
            start, size = _place(sent)
            if self._count() >= self.cut_at > 0:
                data = sent[_HEADER:] if sent[0] == _PROGRAM else b""
                self._cut({"address": start, "size": len(data) or size, "data": data.hex()})
                ssi._tx_buffer = bytearray()
                return
            apply()
            changed = start & ~(_PAGE - 1) if sent[0] == _PROGRAM else start
            os.pwrite(self._file, bytes(mcu.flash[changed : changed + size]), changed)
            if self._timed:
                mcu.clock.tick(_BUSY_NS[sent[0]])

        def exchange(byte: int) -> int:
            answer: int = shift(byte)
            position = len(ssi._tx_buffer) - 1
            if ssi._tx_buffer[0] == _READ_UNIQUE_ID and position >= _UNIQUE_ID_AT:
                return self._unique_id[(position - _UNIQUE_ID_AT) % len(self._unique_id)]
            return answer

        ssi._apply_command, ssi._shift_byte = finish, exchange

    def keep(self, mcu: Any) -> None:
        """Take the content over from a chip that goes."""
        self._memory = bytes(mcu.flash[: len(self._memory)])

    def _count(self) -> int:
        self._operations += 1
        os.pwrite(self._counter, self._operations.to_bytes(8, "big"), 0)
        return self._operations


def _place(sent: bytes) -> tuple[int, int]:
    address = int.from_bytes(sent[1:_HEADER], "big")
    if sent[0] == _PROGRAM:
        return address, _PAGE
    size = _SECTOR if sent[0] == _SECTOR_ERASE else _BLOCK
    return address & ~(size - 1), size
