"""The flash of updates on this board, and a slot mounted as a file system (docs/update.md 2.5, 8).

Rules: opening reads, and writes nothing. An image is read where it lies.
"""

import io
import sys

import vfs  # pyright: ignore[reportMissingImports]

from fieldline_node.drivers.micropython.flash import find_region
from fieldline_wire.update.romfs import Mount, image_size, index

PLACE = "/app"


def open_slots(board) -> list:
    """[(head, image) of A, of B]. OSError where they are not reserved."""
    slots = []
    for place in board.FLASH_SLOTS:
        region = find_region(board.CHIP, *place)
        slots.append((region.part(0, 1), region.part(1, region.sectors - 1)))
    return slots


def reader(region):
    """read(at, count) over a region, across its sectors; a new buffer each time."""

    def read(at: int, count: int) -> bytes:
        data = bytearray(count)
        readinto(region, at, memoryview(data))
        return bytes(data)

    return read


def readinto(region, at: int, view: memoryview) -> None:
    """Fills `view` from `at` on, across sectors."""
    size = region.sector_size
    done = 0
    while done < len(view):
        count = min(len(view) - done, size - (at + done) % size)
        region.readinto(at + done, view[done : done + count])
        done += count


class SlotFile(io.IOBase):
    """A file of a mounted image, for the interpreter's import and for reading bytes."""

    def __init__(self, region, offset: int, size: int) -> None:
        self._region = region
        self._offset = offset
        self._left = size

    def readinto(self, buffer) -> int:
        count = min(len(buffer), self._left)
        readinto(self._region, self._offset, memoryview(buffer)[:count])
        self._offset += count
        self._left -= count
        return count

    def read(self, count: int = -1) -> bytes:
        """The next bytes, all of them where `count` is negative."""
        data = bytearray(self._left if count < 0 else min(count, self._left))
        self.readinto(data)
        return bytes(data)

    def ioctl(self, request: int, argument: int) -> int:
        return 0

    def close(self) -> None:
        """Nothing is to be done."""


def mount(image) -> None:
    """Makes the image in a region the first place that modules come from. PeerError where it is none."""
    read = reader(image)
    files = index(read, image_size(read))
    vfs.mount(Mount(files, lambda offset, size, text: SlotFile(image, offset, size)), PLACE, readonly=True)
    sys.path.insert(0, PLACE)
