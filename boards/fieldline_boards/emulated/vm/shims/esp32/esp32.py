"""esp32 of the emulated VM: Partition over the board's raw flash (_loader.py), and the chip's temperature."""

import json

import _hw
import _loader
from uctypes import addressof


class _Flash:
    def readinto(self, at, buffer):
        _hw.flash_read(at, addressof(buffer), len(buffer))

    def program(self, at, data):
        _hw.flash_program(at, addressof(data), len(data))

    def erase(self, sector):
        _hw.flash_erase(sector * _loader.SECTOR)


def _chip():
    chip = _loader.Chip(_Flash(), [tuple(row) for row in json.loads(_hw.partitions)])
    for row in chip.table:
        if row[4] == _hw.running:  # the loader of the emulation started it
            chip.running = row
    return chip


Partition = _loader.partition_class(_chip())

# The first ESP32 gives Fahrenheit, all others have mcu_temperature (ports/esp32/modesp32.c).
if _hw.model == "esp32":

    def raw_temperature():
        return round(_hw.temperature() * 9 / 5 + 32)

else:

    def mcu_temperature():
        return _hw.temperature()
