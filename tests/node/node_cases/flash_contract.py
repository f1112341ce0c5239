"""What every flash region does (fieldline_node/flash.py); on the fake, and on the drivers in the VM."""

from fieldline_node.errors import FlashError
from fieldline_node.flash import units_used


def check(region):
    """Raises AssertionError where `region`, of four sectors or more and blank, breaks the port."""
    assert region.sectors >= 4
    for sector in range(region.sectors):
        region.erase(sector)
    _reads_back(region)
    _only_clears_bits(region)
    _erases_one_sector(region)
    _counts_units(region)


def read(region, address, size):
    buffer = bytearray(size)
    region.readinto(address, memoryview(buffer))
    return bytes(buffer)


def _reads_back(region):
    size = region.sector_size
    for address, data in (
        (0, b"first"),
        (size - 5, b"last5"),
        (size + 250, b"across a page"),
        (2 * size, bytes(range(256)) * 3),
        (3 * size - 300, b"z" * 300),
    ):
        region.program(address, memoryview(data))
        assert read(region, address, len(data)) == data, address
        if address % size + len(data) < size:
            assert read(region, address + len(data), 1) == b"\xff"
    assert read(region, size + 249, 1) == b"\xff"


def _only_clears_bits(region):
    at = 3 * region.sector_size
    region.program(at, b"\x0f\xf0")
    region.program(at, b"\x0e\xf0")
    region.program(at + 2, b"next")
    assert read(region, at, 6) == b"\x0e\xf0next"
    try:
        region.program(at, b"\xff\x0f")
    except FlashError:
        pass
    else:
        raise AssertionError("bits were set by a program")
    assert read(region, at, 2) == b"\x0e\x00"


def _erases_one_sector(region):
    region.erase(1)
    assert read(region, region.sector_size, 512) == b"\xff" * 512
    assert read(region, 0, 5) == b"first"
    assert read(region, 2 * region.sector_size, 4) == b"\x00\x01\x02\x03"


def _counts_units(region):
    unit = memoryview(bytearray(21))
    region.erase(0)
    assert units_used(region, 0, 20, 21, unit) == 0
    region.program(20 + 3 * 21 + 20, b"\x00")
    assert units_used(region, 0, 20, 21, unit) == 4
    units = (region.sector_size - 20) // 21
    region.program(20 + (units - 1) * 21, b"\x00")
    assert units_used(region, 0, 20, 21, unit) == units
