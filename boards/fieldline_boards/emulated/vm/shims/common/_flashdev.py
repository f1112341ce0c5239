"""A raw flash region as an extended block device. Rules: a write with an offset only clears bits."""

import _hw
from uctypes import addressof

SECTOR = 4096


class Region:
    def __init__(self, base, length, align):
        self._base = base
        self._length = length
        self._align = align  # program size of the chip's driver

    def readblocks(self, block, buf, offset=0):
        _hw.flash_read(self._at(block, offset, len(buf)), addressof(buf), len(buf))

    def writeblocks(self, block, buf, offset=None):
        at = self._at(block, offset or 0, len(buf))
        if (offset or 0) % self._align or len(buf) % self._align:
            raise ValueError("flash is written in steps of %d bytes" % self._align)
        if offset is None:
            for sector in range(block, block + len(buf) // SECTOR):
                self.ioctl(6, sector)
        _hw.flash_program(at, addressof(buf), len(buf))

    def ioctl(self, command, argument):
        if command == 4:
            return self._length // SECTOR
        if command == 5:
            return SECTOR
        if command == 6:
            _hw.flash_erase(self._at(argument, 0, SECTOR))
            return 0
        return 0 if command in (1, 2, 3) else None

    def _at(self, block, offset, length):
        at = block * SECTOR + offset
        if at < 0 or at + length > self._length:
            raise OSError(5)  # EIO: a real chip would read or write its neighbour
        return self._base + at
