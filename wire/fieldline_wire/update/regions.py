"""Regions of flash, more than a sector at a time.

Rules: what does not fit is a FlashError, as what flash does not take.
"""

from fieldline_wire.errors import FlashError
from fieldline_wire.update.codes import SECTOR


def erase(region, first: int, size: int) -> None:  # type: ignore[no-untyped-def]
    """Erases the sectors of `size` bytes from sector `first` on. FlashError, also where there are not so many."""
    last = first + (size + SECTOR - 1) // SECTOR
    if last > region.sectors:
        raise FlashError("%d bytes do not fit" % size)
    for sector in range(first, last):
        region.erase(sector)


def reader(region, base: int):  # type: ignore[no-untyped-def]
    """A function read(at, count) over a region from `base` on, across its sectors."""

    def read(at: int, count: int) -> bytes:
        buffer = bytearray(count)
        view = memoryview(buffer)
        done = 0
        while done < count:
            here = base + at + done
            part = min(count - done, SECTOR - here % SECTOR)
            region.readinto(here, view[done : done + part])
            done += part
        return bytes(buffer)

    return read
