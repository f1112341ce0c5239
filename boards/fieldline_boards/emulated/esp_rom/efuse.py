"""The eFuse controller: the registers through which tools read, burn and lock (TRM, chapter eFuse
Controller).

Rules: what is read are registers, loaded from the fuses at reset and by the read command, so a burn shows
and a lock holds only after that. WR_DIS keeps fuses from being burned, RD_DIS reads them as 0; both in
silence, as in the chip. A command without its code in the configuration register does nothing.
"""

from __future__ import annotations

from fieldline_boards.emulated.esp_rom import reed_solomon
from fieldline_boards.emulated.esp_rom.chips.model import Block, EfuseLayout
from fieldline_boards.emulated.esp_rom.fuses import FuseArray

PROGRAM_CODE, READ_CODE = 0x5A5A, 0x5AA5  # EFUSE_OP_CODE
PROGRAM_COMMAND, READ_COMMAND = 0x2, 0x1  # EFUSE_PGM_CMD, EFUSE_READ_CMD
BLOCK_SHIFT, BLOCK_MASK = 2, 0xF  # EFUSE_BLK_NUM
BEYOND_REPAIR = 7  # ERR_NUM next to FAIL: more than the code can correct


class EfuseController:
    """Volatile: one life between two resets. The fuses outlive it."""

    def __init__(self, layout: EfuseLayout, fuses: FuseArray) -> None:
        self._layout = layout
        self._fuses = fuses
        self._registers = bytearray(layout.size)
        self._load()

    def covers(self, address: int) -> bool:
        return self._layout.base <= address < self._layout.base + self._layout.size

    def read(self, address: int) -> int:
        """The register at `address` (which it covers), as 32 bits."""
        return self._word(address - self._layout.base & ~3)

    def write(self, address: int, value: int) -> None:
        """Write a register; the ones that show fuses don't change."""
        offset = address - self._layout.base & ~3
        if offset in self._layout.errors or any(_shows(block, offset) for block in self._layout.blocks):
            return
        self._store(offset, value)
        if offset == self._layout.command:
            self._run(value)
            self._store(offset, 0)

    def field(self, name: str) -> int:
        """The value of a field of BLOCK0 as loaded; 0 where the chip has none of that name."""
        field = self._layout.field(name)
        if field is None:
            return 0
        block = self._layout.blocks[0]
        loaded = int.from_bytes(self._registers[block.read : block.read + 4 * block.words], "little")
        return (loaded & field.mask) >> field.bit

    def _run(self, command: int) -> None:
        code = self._word(self._layout.conf)
        if command & PROGRAM_COMMAND and code == PROGRAM_CODE:
            number = command >> BLOCK_SHIFT & BLOCK_MASK
            for block in self._layout.blocks:
                if block.number == number or not self._layout.reed_solomon:
                    self._program(block)
        elif command & READ_COMMAND and code == READ_CODE:
            self._load()

    def _program(self, block: Block) -> None:
        locked = self.field("WR_DIS")
        if block.write_disable is not None and locked >> block.write_disable & 1:
            return
        size = reed_solomon.CODE_SIZE if self._coded(block) else 4 * block.words
        bits = bytes(self._registers[block.program : block.program + size])
        if block.number == 0:
            writable = int.from_bytes(bits, "little")
            for field in self._layout.fields:
                if field.write_disable is not None and locked >> field.write_disable & 1:
                    writable &= ~field.mask
            bits = writable.to_bytes(size, "little")
        self._fuses.burn(block.number, bits)

    def _load(self) -> None:
        hidden = self._hidden()
        errors = 0
        for block in self._layout.blocks:
            data = self._fuses.block(block.number)
            if self._coded(block):
                data, wrong = reed_solomon.correct(data)
                place = 4 * (block.number - 1)
                errors |= (BEYOND_REPAIR if wrong is None else wrong) << place
                errors |= (wrong is None) << place + self._layout.fail_bit
            visible = bytearray(data[: 4 * block.words])
            if block.number == 0:
                visible[:] = self._without_hidden_fields(bytes(visible), hidden)
            for lock in block.read_disable:
                if hidden >> lock.bit & 1:
                    visible[lock.start : lock.end] = bytes(len(visible[lock.start : lock.end]))
            self._registers[block.read : block.read + len(visible)] = visible
        for index, offset in enumerate(self._layout.errors):
            self._store(offset, errors >> 32 * index & 0xFFFFFFFF)

    def _hidden(self) -> int:
        """RD_DIS as it is burned."""
        field = self._layout.field("RD_DIS")
        burned = int.from_bytes(self._fuses.block(0), "little")
        return (burned & field.mask) >> field.bit if field else 0

    def _without_hidden_fields(self, data: bytes, hidden: int) -> bytes:
        value = int.from_bytes(data, "little")
        for field in self._layout.fields:
            if field.read_disable is not None and hidden >> field.read_disable & 1:
                value &= ~field.mask
        return value.to_bytes(len(data), "little")

    def _coded(self, block: Block) -> bool:
        return self._layout.reed_solomon and block.number > 0

    def _word(self, offset: int) -> int:
        return int.from_bytes(self._registers[offset : offset + 4], "little")

    def _store(self, offset: int, value: int) -> None:
        self._registers[offset : offset + 4] = value.to_bytes(4, "little")


def _shows(block: Block, offset: int) -> bool:
    return block.read <= offset < block.read + 4 * block.words
