"""The ESP32 family's ROM serial loader as an emulated board, for the unmodified esptool and espefuse.

Rules: outside, only EspRomBoard, EspRomEmulator (the same without asyncio and without a kind of board),
State and the names of chips and ports are used.

Simulated, and not as in a chip: no code runs, so what a host starts in RAM is taken for the flasher stub
and a flashed program says nothing; nothing takes time, and the line has no speed to get wrong; encrypted
download is refused, flash is never decrypted; BLOCK0's fourfold copies are one, so its error registers read
0; ESP32's coding schemes "3/4" and "repeat" have no effect; watchdog reset does nothing; ESP8266, NAND
flash and flash above 16 MB are missing.
"""

from __future__ import annotations

from fieldline_boards.emulated.esp_rom.board import EspRomBoard
from fieldline_boards.emulated.esp_rom.chips import CHIPS
from fieldline_boards.emulated.esp_rom.device import State
from fieldline_boards.emulated.esp_rom.emulator import PORTS, EspRomEmulator

__all__ = ["CHIPS", "PORTS", "EspRomBoard", "EspRomEmulator", "State"]
