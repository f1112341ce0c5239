"""The addresses that READ_REG and WRITE_REG reach: eFuse controller, SPI flash controller, and plain words.

Rules: volatile, one life between two resets. An address that nobody models is a word of memory that reads
back what was written, 0 before.
"""

from __future__ import annotations

from fieldline_boards.emulated.esp_rom.chips import Chip
from fieldline_boards.emulated.esp_rom.efuse import EfuseController
from fieldline_boards.emulated.esp_rom.flash import Flash

# A tool writes a few dozen registers; the bound keeps a bad one from filling the memory.
MAX_WORDS = 4096
SPI_COMMAND_USER = 1 << 18  # SPI_CMD_REG.USR: run the command of USR2, done when it reads 0
ROM_BAUD = 115_200

# SPI flash commands (JESD216, GD25Q datasheet).
_READ_ID, _READ_SFDP = 0x9F, 0x5A
_READ_STATUS = {0x05: 0, 0x35: 1, 0x15: 2}
_WRITE_STATUS = {0x01: 0, 0x31: 1, 0x11: 2}
_SFDP = b"SFDP\x06\x01\x00\xff"  # JESD216B header with no parameter table; what follows reads 0xFF


class Bus:
    """Everything behind the two register commands."""

    def __init__(self, chip: Chip, efuse: EfuseController, flash: Flash) -> None:
        self._chip = chip
        self._flash = flash
        self._words = dict(chip.registers)
        self._flash_status = [0, 0, 0]
        self.efuse = efuse
        self.set_baud(ROM_BAUD)

    def set_baud(self, baud: int) -> None:
        """What the UART's clock divider shows; the line itself has no speed."""
        self._words[self._chip.uart_clock_divider] = self._chip.xtal_hz // max(baud, 1)

    def read(self, address: int) -> int:
        address &= ~3
        if self.efuse.covers(address):
            return self.efuse.read(address)
        return self._words.get(address, 0)

    def write(self, address: int, value: int, mask: int = 0xFFFFFFFF) -> None:
        """Change the bits of `mask`."""
        address &= ~3
        if mask != 0xFFFFFFFF:
            value = self.read(address) & ~mask | value & mask
        if self.efuse.covers(address):
            self.efuse.write(address, value)
            return
        if address in self._words or len(self._words) < MAX_WORDS:
            self._words[address] = value
        if address == self._chip.spi.base and value & SPI_COMMAND_USER:
            self._run_flash_command()
            self._words[address] = value & ~SPI_COMMAND_USER

    def _run_flash_command(self) -> None:
        spi = self._chip.spi
        command = self.read(spi.base + spi.user2) & 0xFF
        answer = 0
        if command == _READ_ID:
            answer = self._flash.jedec_id
        elif command == _READ_SFDP:
            answer = self._sfdp(self._flash_address())
        elif command in _READ_STATUS:
            answer = self._flash_status[_READ_STATUS[command]]
        elif command in _WRITE_STATUS:
            self._flash_status[_WRITE_STATUS[command]] = self.read(spi.base + spi.w0) & 0xFF
        self._words[spi.base + spi.w0] = answer

    def _flash_address(self) -> int:
        address = self.read(self._chip.spi.base + 4)  # SPI_ADDR_REG
        return address >> 8 if self._chip.spi.address_high else address & 0xFFFFFF

    @staticmethod
    def _sfdp(address: int) -> int:
        return int.from_bytes(_SFDP[address : address + 4].ljust(4, b"\xff"), "little")
