"""The chips whose ROM loader can be emulated.

Rules: one table by name; nothing else in the package lists the chips.
"""

from __future__ import annotations

from fieldline_boards.emulated.esp_rom.chips.esp32 import ESP32
from fieldline_boards.emulated.esp_rom.chips.esp32c2 import ESP32C2
from fieldline_boards.emulated.esp_rom.chips.family import ESP32C3, ESP32C6, ESP32H2, ESP32S2, ESP32S3
from fieldline_boards.emulated.esp_rom.chips.model import Chip
from fieldline_boards.errors import BoardError

CHIPS: dict[str, Chip] = {
    chip.name: chip for chip in (ESP32, ESP32S2, ESP32S3, ESP32C2, ESP32C3, ESP32C6, ESP32H2)
}


def chip_named(name: str) -> Chip:
    """The chip `name` ("esp32s3"; "ESP32-S3" is taken too); BoardError lists those there are."""
    chip = CHIPS.get(name.lower().replace("-", ""))
    if chip is None:
        raise BoardError(f"no chip '{name}'; there are {', '.join(CHIPS)}")
    return chip


__all__ = ["CHIPS", "Chip", "chip_named"]
