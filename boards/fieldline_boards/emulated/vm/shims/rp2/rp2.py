"""rp2 of the emulated VM: Flash. Addresses count from the start of the board's storage area, as on the chip."""

import _hw
from _flashdev import Region

_PAGE = 256


class Flash(Region):
    def __init__(self, start=-1, len=-1):
        base = _hw.flash_locate(start, len)
        if base < 0:
            raise ValueError("not raw flash on this board; the file system is there")
        super().__init__(base, len, _PAGE)
