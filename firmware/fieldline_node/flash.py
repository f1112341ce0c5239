"""Raw NOR flash as the node sees it: the port, and what its users share.

Rules: an address counts from the region's first byte; erase sets a sector's bits, program only clears bits;
power may fail inside either. A region (drivers/, tests/fakes/) has

    sector_size, sectors         bytes, count
    readinto(address, buffer)    fills `buffer`
    program(address, data)       FlashError where a read-back differs
    erase(sector)                FlashError where a read-back is not blank

and may be made of scattered blocks: nobody asks where they lie.
"""

from fieldline_wire.codes import const

SECTOR = const(4096)  # bytes; the erase unit of W25Q-type flash
PAGE = const(256)  # bytes; its largest program unit


def is_blank(data: "bytearray | memoryview") -> bool:
    """Whether every bit of `data` is as an erase leaves it."""
    return data == b"\xff" * len(data)


def units_used(region, sector: int, start: int, size: int, buffer: "bytearray | memoryview") -> int:
    """How many units of `size` bytes from offset `start` of `sector` up to the last that is not blank.

    `buffer` holds one unit. A unit that was torn counts: it can't be programmed again.
    """
    base = sector * region.sector_size + start
    count = (region.sector_size - start) // size
    while count:
        region.readinto(base + (count - 1) * size, buffer)
        if not is_blank(buffer):
            break
        count -= 1
    return count
