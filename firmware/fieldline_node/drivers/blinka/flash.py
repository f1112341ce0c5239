"""Flash regions in a file of a Linux file system.

Rules: O_DSYNC: what program() and erase() wrote is on the disk when they return, in the order of the calls, so that
a cut leaves what it leaves in flash: the last operation torn, and none before it. An address is one of the file.
"""

import os

from fieldline_node.errors import FlashError
from fieldline_node.flash import SECTOR


class FileRegion:
    """A region (flash.py) of `sectors` sectors from sector `first` of the open file `fd` on."""

    __slots__ = ("_base", "_fd", "sector_size", "sectors")

    def __init__(self, fd: int, first: int, sectors: int) -> None:
        self._fd = fd
        self._base = first * SECTOR
        self.sector_size = SECTOR
        self.sectors = sectors

    def readinto(self, address: int, buffer) -> None:
        """Fills `buffer` from `address` on. FlashError where the file can't be read."""
        try:
            count = os.preadv(self._fd, [buffer], self._base + address)
        except OSError as error:
            raise FlashError("the file is not read: %s" % error) from None
        if count != len(buffer):
            raise FlashError("the file ends at 0x%x" % (self._base + address + count))

    def program(self, address: int, data) -> None:
        """Clears bits from `address` on. FlashError where a bit had to be set, or the disk does not take it."""
        old = bytearray(len(data))
        self.readinto(address, old)
        new = bytes([old[i] & data[i] for i in range(len(data))])
        self._write(address, new)
        if new != bytes(data):
            raise FlashError("0x%x does not read as programmed" % address)

    def erase(self, sector: int) -> None:
        """Sets all bits of a sector. FlashError where the disk does not take it."""
        self._write(sector * SECTOR, b"\xff" * SECTOR)

    def _write(self, address: int, data: bytes) -> None:
        try:
            count = os.pwrite(self._fd, data, self._base + address)
        except OSError as error:
            raise FlashError("the disk does not take it: %s" % error) from None
        if count != len(data):
            raise FlashError("the disk took %d of %d bytes" % (count, len(data)))


def open_flash(path: str, sectors: int) -> int:
    """The file `path` as flash of `sectors` sectors, made blank where there is none; its descriptor. OSError."""
    size = sectors * SECTOR
    if not os.path.exists(path):
        _make(path, size)
    fd = os.open(path, os.O_RDWR | os.O_DSYNC | os.O_CLOEXEC)
    found = os.fstat(fd).st_size
    if found != size:
        os.close(fd)
        raise OSError(
            "%s has %d bytes, not %d: it is no outbox of this board, or was cut" % (path, found, size)
        )
    return fd


def _make(path: str, size: int) -> None:
    """A blank file; it gets its name when it is whole and on the disk."""
    new = path + ".new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        left = size
        while left:
            left -= os.write(fd, b"\xff" * min(left, SECTOR))
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(new, path)
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
