"""Flash regions in one file of CircuitPython's file system, which gives an app no raw flash.

Rules: a sector is written whole, into a slot of the file that nothing needs, under the next generation; of each
sector the newest slot whose CRC is right counts, so that a cut leaves it as it was. One changed sector waits in
memory, until sync() or the first change of another one: a power cut takes the newest changes, never one from
between others. sync() before anything is said to others (console.py) makes that as if it had come earlier.

Why slots. To write a block of 512 bytes CircuitPython erases and programs the 4 KiB of flash around it
(ports/raspberrypi/supervisor/internal_flash.c); FAT's clusters begin anywhere in those. What a cut can spoil
reaches up to 3,584 bytes to both sides: so far apart lie the slots, and the file's ends. And the file, once made,
is neither closed nor flushed nor grown, as each of these rewrites the sector of the whole directory.

Slot: magic "FC", version, sector, generation (4), 0 (4), crc (4) of all else in it; then the sector.
"""

import binascii
import os
import struct

from fieldline_node.errors import FlashError
from fieldline_wire.codes import const

BLOCK = const(512)  # bytes; FAT's sector here: whole ones pass by FatFs's window
SLOT = const(4096)  # bytes; the erase unit of W25Q-type flash
GAP = const(3584)  # SLOT - BLOCK
STRIDE = const(7680)  # SLOT + GAP
SECTOR_SIZE = const(4080)  # SLOT less its header
SPARE = const(2)  # slots besides one a sector: the next, and one for a slot that takes nothing

_HEADER = ">2sBBII"
_HEADER_SIZE = const(16)
_CRC_AT = const(12)
_MAGIC = b"FC"
_VERSION = const(1)
_NO_SLOT = const(0xFF)
_BLANK = b"\xff" * 255  # SECTOR_SIZE is 16 of it
_TRIES = const(3)  # slots in a row that may refuse a sector


class FileFlash:
    """Sectors of SECTOR_SIZE bytes in the slots of an open file. Call mount() before anything else."""

    __slots__ = (
        "_bad",
        "_block",
        "_file",
        "_generation",
        "_hand",
        "_image",
        "_sector",
        "_slot_of",
        "_slots",
        "_sync",
        "_view",
        "waiting",
        "writes",
    )

    def __init__(self, file, slots: int, sectors: int, sync) -> None:
        """`sync()` makes durable what was written to the file: os.sync."""
        if sectors + SPARE > slots or slots > _NO_SLOT:
            raise ValueError("%d sectors in %d slots" % (sectors, slots))
        self._file = file
        self._slots = slots
        self._sync = sync
        self._slot_of = bytearray([_NO_SLOT] * sectors)
        self._image = bytearray(SLOT)  # of the sector in memory, with its header
        self._view = memoryview(self._image)
        self._block = bytearray(BLOCK)
        self._sector = -1  # that is in memory
        self._generation = 0
        self._hand = -1  # the slot written last
        self._bad = []  # slots that took nothing in this boot
        self.waiting = False  # the sector in memory has changes that the file has not
        self.writes = 0  # slots written in this boot

    def mount(self) -> None:
        """Finds the newest slot of each sector. FlashError where the file can't be read."""
        newest = [0] * len(self._slot_of)
        for slot in range(self._slots):
            self._read_slot(slot, 0, self._view)
            sector, generation = self._judge()
            if sector < len(newest) and generation > newest[sector]:
                newest[sector] = generation
                self._slot_of[sector] = slot
                if generation > self._generation:
                    self._generation = generation
                    self._hand = slot

    def region(self, first: int, sectors: int) -> "FileRegion":
        """The region (flash.py) of `sectors` sectors from `first` on."""
        return FileRegion(self, first, sectors)

    def readinto(self, sector: int, offset: int, buffer) -> None:
        """Fills `buffer` with what lies at `offset` in `sector`."""
        at = _HEADER_SIZE + offset
        if sector == self._sector:
            buffer[:] = self._view[at : at + len(buffer)]
        elif self._slot_of[sector] != _NO_SLOT:
            self._read_slot(self._slot_of[sector], at, buffer)
        else:
            for i in range(len(buffer)):
                buffer[i] = 0xFF

    def program(self, sector: int, offset: int, data) -> None:
        """Clears bits at `offset` in `sector`, as flash does. FlashError where one had to be set."""
        self._take(sector)
        image = self._image
        at = _HEADER_SIZE + offset
        for i in range(len(data)):
            image[at + i] &= data[i]
        self.waiting = True
        if self._view[at : at + len(data)] != data:
            raise FlashError("sector %d does not read as programmed at 0x%x" % (sector, offset))

    def erase(self, sector: int) -> None:
        """Sets all bits of `sector`."""
        if sector != self._sector:
            self.sync()
            self._sector = sector
        for at in range(_HEADER_SIZE, SLOT, len(_BLANK)):
            self._view[at : at + len(_BLANK)] = _BLANK
        self.waiting = True

    def sync(self) -> None:
        """Makes durable what waits. FlashError where no slot takes it: it waits on."""
        if not self.waiting:
            return
        for _ in range(_TRIES):
            slot = self._free_slot()
            if slot < 0:
                break
            self._hand = slot
            if self._write_slot(slot):
                self._slot_of[self._sector] = slot
                self.waiting = False
                return
            self._bad.append(slot)
        self._bad = []  # it is not the slots
        raise FlashError("no slot of the file takes sector %d" % self._sector)

    def _take(self, sector: int) -> None:
        """Brings `sector` into memory."""
        if sector == self._sector:
            return
        self.sync()
        self._sector = -1
        self.readinto(sector, 0, self._view[_HEADER_SIZE:])
        self._sector = sector

    def _free_slot(self) -> int:
        """The next slot round the file that no sector needs; -1 where there is none."""
        for step in range(1, self._slots + 1):
            slot = (self._hand + step) % self._slots
            if slot not in self._bad and all([each != slot for each in self._slot_of]):
                return slot
        return -1

    def _write_slot(self, slot: int) -> bool:
        """Writes the sector in memory into `slot`; whether it reads back."""
        self._generation += 1
        self.writes += 1
        struct.pack_into(_HEADER, self._image, 0, _MAGIC, _VERSION, self._sector, self._generation, 0)
        struct.pack_into(">I", self._image, _CRC_AT, _crc(self._view))
        try:
            self._file.seek(_offset(slot))
            self._file.write(self._image)
            self._sync()
            self._file.seek(_offset(slot))
            for at in range(0, SLOT, BLOCK):
                self._file.readinto(self._block)
                if self._view[at : at + BLOCK] != self._block:
                    return False
        except OSError:
            return False
        return True

    def _read_slot(self, slot: int, at: int, buffer) -> None:
        try:
            self._file.seek(_offset(slot) + at)
            count = self._file.readinto(buffer)
        except OSError as error:
            raise FlashError("the file is not read: %s" % error) from None
        if count != len(buffer):
            raise FlashError("the file ends in slot %d" % slot)

    def _judge(self) -> "tuple[int, int]":
        """Sector and generation of the slot in memory; generation 0 where it is none."""
        magic, version, sector, generation, _ = struct.unpack_from(_HEADER, self._image)
        (crc,) = struct.unpack_from(">I", self._image, _CRC_AT)
        if magic != _MAGIC or version != _VERSION or crc != _crc(self._view):
            return _NO_SLOT, 0
        return sector, generation


class FileRegion:
    """A region (flash.py) of a FileFlash."""

    __slots__ = ("_first", "_flash", "sector_size", "sectors")

    def __init__(self, flash: FileFlash, first: int, sectors: int) -> None:
        self._flash = flash
        self._first = first
        self.sector_size = SECTOR_SIZE
        self.sectors = sectors

    def readinto(self, address: int, buffer) -> None:
        """Fills `buffer` from `address` on; it may not cross a sector's end."""
        self._flash.readinto(self._first + address // SECTOR_SIZE, address % SECTOR_SIZE, buffer)

    def program(self, address: int, data) -> None:
        """Clears bits from `address` on, inside of one sector. FlashError where a bit had to be set."""
        self._flash.program(self._first + address // SECTOR_SIZE, address % SECTOR_SIZE, data)

    def erase(self, sector: int) -> None:
        """Sets all bits of a sector."""
        self._flash.erase(self._first + sector)


def open_flash(path: str, slots: int, sectors: int, feed) -> FileFlash:
    """The flash in the file `path`, made where there is none. OSError where the file system is not ours to write.

    `feed()` is called while the file is made, which takes some seconds.
    """
    size = slots * STRIDE + GAP
    if _size(path) != size:
        _make(path, size, feed)
    flash = FileFlash(open(path, "r+b"), slots, sectors, os.sync)
    flash.mount()
    return flash


def _make(path: str, size: int, feed) -> None:
    """Makes a blank file; it gets its name when it is whole. One of another size is of no use any more."""
    new = path + ".new"
    if _size(path) >= 0:
        os.remove(path)
    with open(new, "wb") as file:
        file.seek(size)  # all of FAT and directory at once: a cut here leaks no clusters later
    if _size(new) != size:
        os.remove(new)
        raise OSError("no room for %s: %d bytes" % (path, size))
    blank = b"\xff" * BLOCK
    with open(new, "r+b") as file:
        for _ in range(0, size, BLOCK):
            file.write(blank)
            feed()
    os.rename(new, path)
    os.sync()


def _size(path: str) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return os.stat(path)[6]
    except OSError:
        return -1


def _offset(slot: int) -> int:
    return GAP + slot * STRIDE


def _crc(slot: memoryview) -> int:
    return binascii.crc32(slot[_HEADER_SIZE:], binascii.crc32(slot[:_CRC_AT]))
