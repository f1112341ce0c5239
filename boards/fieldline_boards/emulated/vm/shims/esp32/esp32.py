"""esp32 of the emulated VM: Partition (data partitions by label) and the chip's temperature."""

import _hw
from _flashdev import Region


class Partition(Region):
    BOOT = 0
    RUNNING = 1
    TYPE_APP = 0
    TYPE_DATA = 1

    def __init__(self, label):
        base = _hw.flash_named(label) if isinstance(label, str) else -1
        if base < 0:
            raise OSError(2)  # ENOENT
        super().__init__(base, _hw.flash_length(label), 1)
        self._label = label

    def info(self):
        return (1, 0x06, _hw.flash_start(self._label), self._length, self._label, False)

    @staticmethod
    def find(type=0, subtype=0xFF, label=None, block_size=4096):
        if type != Partition.TYPE_DATA or label is None or _hw.flash_named(label) < 0:
            return []
        return [Partition(label)]


# The first ESP32 gives Fahrenheit, all others have mcu_temperature (ports/esp32/modesp32.c).
if _hw.model == "esp32":

    def raw_temperature():
        return round(_hw.temperature() * 9 / 5 + 32)

else:

    def mcu_temperature():
        return _hw.temperature()
