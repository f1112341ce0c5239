"""Raw sectors on a chip whose stock firmware gives all of its flash to the file system (RP2).

A littlefs file of one block is that block: it has no pointers in it, littlefs reads it only when the file is opened,
and never moves it. So a file of 4096 bytes, written once and never opened again, keeps its block for us, and we use
it through rp2.Flash. Which blocks these are is in a map. docs/adr/0004.

Rules: the map is written when every block was found, and nothing is written raw before. A reservation that was
broken off has no map and begins anew. Where a guard file is gone its block is no longer ours: nothing is touched.
"""

import binascii
import os
import struct

from fieldline_node.flash import SECTOR
from fieldline_wire.codes import const

FOLDER = "/raw"
MAP = "/raw.map"

_MAGIC = b"FLRAW"
_STAMP_SIZE = const(8)  # random: blocks of an earlier reservation still hold their markers
_HEADER = ">5sIH"  # magic, address of the first sector, sectors; then 2 bytes a sector, and the CRC
_checked = None  # what _load() gave, once its guard files were found
_COUNT_BLOCKS = const(4)  # ioctl: docs.micropython.org, vfs.AbstractBlockDev


def covers(start: int) -> bool:
    """Whether the file system reaches over `start`, so that raw flash must be reserved."""
    stat = os.statvfs("/")
    return stat[0] * stat[2] > start


def reserved(start: int, length: int) -> "tuple[int, ...]":
    """The blocks of the sectors from `start` on, in bytes as the catalog counts. OSError where they are not ours."""
    global _checked  # noqa: PLW0603 - a boot asks five times
    if _checked is None:
        kept = _load()
        _checked = kept if _guarded(len(kept[1])) else (0, ())
    base, blocks = _checked
    first = (start - base) // SECTOR
    found = blocks[first : first + length // SECTOR] if first >= 0 else ()
    if len(found) != length // SECTOR:
        _checked = None
        raise OSError("no raw flash is reserved: run fieldline node install")
    return found


def reserve(device, regions, say=print) -> None:
    """Reserve what the regions (label, start, length) need, on `device` (rp2.Flash()). OSError where it cannot be."""
    base = min([start for _, start, _ in regions])
    count = (max([start + length for _, start, length in regions]) - base) // SECTOR
    if not covers(base):
        return
    global _checked  # noqa: PLW0603 - a boot asks five times
    _checked = None
    kept = _load()
    if kept[0] == base and len(kept[1]) == count and _guarded(count):
        return
    _clear()
    stamp = _MAGIC + os.urandom(_STAMP_SIZE)
    os.mkdir(FOLDER)
    for number in range(count):
        _write(_guard(number), stamp + struct.pack(">H", number) + b"\xff" * (SECTOR - len(stamp) - 2))
        if number % 8 == 7:
            say("reserving raw flash: %d of %d sectors" % (number + 1, count))
    blocks = _find(device, stamp, count)
    data = struct.pack(_HEADER, _MAGIC, base, count) + struct.pack(">%dH" % count, *blocks)
    _write(MAP + ".new", data + struct.pack(">I", binascii.crc32(data)))
    os.rename(MAP + ".new", MAP)


def _find(device, stamp: bytes, count: int) -> "list[int]":
    """The block of each guard file, by its marker."""
    blocks = [-1] * count
    marker = bytearray(len(stamp) + 2)
    for block in range(device.ioctl(_COUNT_BLOCKS, 0)):
        device.readblocks(block, marker, 0)
        if marker[: len(stamp)] == stamp:
            number = struct.unpack_from(">H", marker, len(stamp))[0]
            if number >= count or blocks[number] >= 0:
                raise OSError("two blocks with the marker of guard file %d" % number)
            blocks[number] = block
    if -1 in blocks:
        raise OSError("guard file %d is not where it should be" % blocks.index(-1))
    return blocks


def _load() -> "tuple[int, tuple[int, ...]]":
    """(address of the first sector, blocks) of the map; (0, ()) where there is none, or none that is whole."""
    try:
        with open(MAP, "rb") as file:
            data = file.read()
    except OSError:
        return 0, ()
    size = struct.calcsize(_HEADER)
    if len(data) < size + 4 or binascii.crc32(data[:-4]) != struct.unpack(">I", data[-4:])[0]:
        return 0, ()
    _, base, count = struct.unpack_from(_HEADER, data)
    return base, struct.unpack_from(">%dH" % count, data, size)


def _guarded(count: int) -> bool:
    """Whether all guard files are there, whole. One listing: a stat each takes 6 ms on an RP2040."""
    try:
        # littlefs gives the size, of which the stubs know nothing
        sizes = {entry[0]: entry[3] for entry in os.ilistdir(FOLDER)}  # pyright: ignore[reportGeneralTypeIssues]
    except OSError:
        return False
    return all([sizes.get(_guard(number)[len(FOLDER) + 1 :]) == SECTOR for number in range(count)])


def _guard(number: int) -> str:
    return "%s/%03d" % (FOLDER, number)


def _clear() -> None:
    """Removes map, then guard files, of a reservation that was broken off or is of another size."""
    for path in (MAP, MAP + ".new"):
        _remove(path)
    try:
        names = os.listdir(FOLDER)
    except OSError:
        return
    for name in names:
        _remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def _remove(path: str) -> None:
    try:
        os.remove(path)
    except OSError:
        pass  # was not there


def _write(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
