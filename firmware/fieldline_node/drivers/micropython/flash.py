"""Raw flash over MicroPython's extended block devices: rp2.Flash, esp32.Partition.

Rules: what is programmed goes out in whole pages padded with 0xFF, which changes nothing on NOR and is what
rp2.Flash takes (256-byte steps). Everything is read back: rp2.Flash tells no error. `blocks` may lie anywhere.
"""

from fieldline_node.drivers.micropython.reserve import covers, reserved
from fieldline_node.errors import FlashError
from fieldline_node.flash import PAGE, SECTOR, is_blank
from fieldline_wire.codes import const

_ERASE = const(6)  # ioctl: docs.micropython.org, vfs.AbstractBlockDev


class BlockRegion:
    """The region (flash.py) of `blocks`, block numbers of `device`, in order."""

    __slots__ = ("_blocks", "_device", "_page", "sector_size", "sectors")

    def __init__(self, device, blocks) -> None:
        self._device = device
        self._blocks = blocks
        self._page = bytearray(PAGE)
        self.sector_size = SECTOR
        self.sectors = len(blocks)

    def readinto(self, address: int, buffer) -> None:
        """Fills `buffer` from `address` on; it may not cross a sector's end."""
        self._device.readblocks(self._blocks[address // SECTOR], buffer, address % SECTOR)

    def program(self, address: int, data) -> None:
        """Clears bits from `address` on, inside of one sector. FlashError where a read-back differs."""
        at = 0
        size = len(data)
        view = memoryview(data)
        while at < size:
            offset = (address + at) % PAGE
            count = min(PAGE - offset, size - at)
            self._program_page(address + at - offset, offset, view[at : at + count])
            at += count

    def erase(self, sector: int) -> None:
        """Sets all bits of a sector. FlashError where a read-back is not blank."""
        block = self._blocks[sector]
        self._call(self._device.ioctl, _ERASE, block)
        for offset in range(0, SECTOR, PAGE):
            self._device.readblocks(block, self._page, offset)
            if not is_blank(self._page):
                raise FlashError("sector %d is not blank after its erase" % sector)

    def part(self, first: int, count: int) -> "BlockRegion":
        """The region of `count` sectors from sector `first` on."""
        return BlockRegion(self._device, self._blocks[first : first + count])

    def _program_page(self, start: int, offset: int, part) -> None:
        page = self._page
        page[:] = b"\xff" * PAGE
        page[offset : offset + len(part)] = part
        block, at = self._blocks[start // SECTOR], start % SECTOR
        self._call(self._device.writeblocks, block, page, at)
        back = memoryview(page)[: len(part)]
        self._device.readblocks(block, back, at + offset)
        if back != part:
            raise FlashError("0x%x does not read as programmed" % (start + offset))

    def _call(self, function, *arguments) -> None:
        """A driver's call whose error means that flash did not take it."""
        try:
            function(*arguments)
        except OSError as error:
            raise FlashError("flash driver: %s" % error) from None


def find_region(chip: str, label: "str | None", start: int, length: int) -> BlockRegion:
    """The region that the catalog gives: by partition label on esp32, by address on rp2. OSError without it.

    On rp2 with a stock firmware, whose file system covers that address, it is what was reserved for it.
    """
    if chip == "esp32":
        import esp32  # pyright: ignore[reportMissingImports] - the stubs are those of another chip

        found = esp32.Partition.find(esp32.Partition.TYPE_DATA, label=label)
        if not found:
            raise OSError("no partition %s: write the board's partition table" % label)
        return BlockRegion(found[0], range(length // SECTOR))
    import rp2

    if covers(start):
        return BlockRegion(rp2.Flash(), reserved(start, length))
    return BlockRegion(rp2.Flash(start=start, len=length), range(length // SECTOR))
