"""The node's small state, key by key, in two or more ping-pong sectors.

Rules: put() is durable when it returns, and where power fails in it the old value stands. A record that is
torn or rotten is stepped over, never trusted. A sector counts once its header is programmed, and that is
the last thing: before, the sector before it counts, and it is not erased until then.

Sector: header (16 bytes): magic "FJ", version, 0, generation (4), 0 (4), crc (4); then records, each padded
to 16 bytes: key (1), length (2), value, crc (4). The crc of a record also covers the generation.
"""

import binascii
import struct

from fieldline_node.errors import FlashError, StorageError
from fieldline_node.flash import units_used
from fieldline_wire.codes import const

MAX_VALUE = const(400)  # bytes; a sector holds several, and a buffer of this size stays in memory

_UNIT = const(16)
_HEADER = ">2sBBII"
_MAGIC = b"FJ"
_VERSION = const(1)
_HEAD = ">BH"  # key, length
_HEAD_SIZE = const(3)
_OVERHEAD = const(7)
_BLANK_KEY = const(0xFF)


class Journal:
    """Key (0..254) to bytes. Call mount() before anything else."""

    __slots__ = ("_at", "_buffer", "_end", "_generation", "_region", "_sector", "damaged")

    def __init__(self, region) -> None:
        self._region = region
        self._buffer = memoryview(bytearray(MAX_VALUE + _OVERHEAD + _UNIT))
        self._at = {}  # key to address of its newest record
        self._sector = -1
        self._generation = 0
        self._end = 0  # offset in the sector of the first blank unit
        self.damaged = 0  # units that held no record: torn or rotten

    def mount(self) -> None:
        """Finds the newest value of each key."""
        unit = self._buffer[:_UNIT]
        self._at = {}
        self._sector, self._generation, self.damaged = -1, 0, 0
        for sector in range(self._region.sectors):
            self._region.readinto(sector * self._region.sector_size, unit)
            generation = _generation(unit)
            if generation > self._generation:
                self._sector, self._generation = sector, generation
        if self._sector >= 0:
            self._scan(unit)

    def get(self, key: int) -> "bytes | None":
        """The value of `key`; None where there is none, or where it went bad since mount()."""
        at = self._at.get(key)
        size = 0 if at is None else self._load(at, self._generation)
        return bytes(self._buffer[_HEAD_SIZE : size - 4]) if size else None

    def put(self, key: int, value: bytes) -> None:
        """Makes `value` durable under `key`. StorageError where no sector takes it."""
        if not 0 <= key < _BLANK_KEY or len(value) > MAX_VALUE:
            raise ValueError("key %d with %d bytes" % (key, len(value)))
        if self.get(key) == value:
            return
        if self._sector >= 0:
            size = self._pack(key, value, self._generation)
            if self._end + size <= self._region.sector_size:
                at = self._sector * self._region.sector_size + self._end
                self._end += size
                try:
                    self._region.program(at, self._buffer[:size])
                except FlashError:
                    pass  # the sector wears out: move on
                else:
                    self._at[key] = at
                    return
        self._move(key, value)

    def _scan(self, unit: memoryview) -> None:
        base = self._sector * self._region.sector_size
        self._end = _UNIT + _UNIT * units_used(self._region, self._sector, _UNIT, _UNIT, unit)
        offset = _UNIT
        while offset < self._end:
            size = self._load(base + offset, self._generation)
            if size:
                self._at[self._buffer[0]] = base + offset
                offset += _padded(size)
            else:
                self.damaged += 1
                offset += _UNIT

    def _load(self, at: int, generation: int) -> int:
        """Reads the record at `at` into the buffer; its size, or 0 where there is none."""
        left = self._region.sector_size - at % self._region.sector_size
        unit = self._buffer[:_UNIT]
        self._region.readinto(at, unit)
        key, length = struct.unpack_from(_HEAD, unit)
        size = length + _OVERHEAD
        if key == _BLANK_KEY or length > MAX_VALUE or size > left:
            return 0
        self._region.readinto(at, self._buffer[:size])
        (crc,) = struct.unpack_from(">I", self._buffer, size - 4)
        return size if crc == _crc(self._buffer[: size - 4], generation) else 0

    def _pack(self, key: int, value: bytes, generation: int) -> int:
        """Puts a record into the buffer; its padded size."""
        size = len(value) + _OVERHEAD
        padded = _padded(size)
        buffer = self._buffer
        struct.pack_into(_HEAD, buffer, 0, key, len(value))
        buffer[_HEAD_SIZE : size - 4] = value
        struct.pack_into(">I", buffer, size - 4, _crc(buffer[: size - 4], generation))
        for i in range(size, padded):
            buffer[i] = 0xFF
        return padded

    def _move(self, key: int, value: bytes) -> None:
        """Starts the next sector with all values, `key` anew."""
        for step in range(1, self._region.sectors + 1):
            sector = (self._sector + step) % self._region.sectors
            if sector == self._sector:
                break
            try:
                self._fill(sector, key, value)
            except FlashError:
                continue
            return
        raise StorageError("no sector of the journal takes data")

    def _fill(self, sector: int, key: int, value: bytes) -> None:
        region = self._region
        base = sector * region.sector_size
        generation = self._generation + 1
        at = {}
        end = _UNIT
        region.erase(sector)
        for each in sorted(set(self._at) | {key}):
            kept = value if each == key else self.get(each)
            if kept is None:
                continue
            size = self._pack(each, kept, generation)
            if end + size > region.sector_size:
                raise StorageError("the journal's values do not fit in one sector")
            region.program(base + end, self._buffer[:size])
            at[each] = base + end
            end += size
        header = struct.pack(_HEADER, _MAGIC, _VERSION, 0, generation, 0)
        region.program(base, header + struct.pack(">I", binascii.crc32(header)))
        self._at, self._sector, self._generation, self._end = at, sector, generation, end


def _padded(size: int) -> int:
    return size + -size % _UNIT


def _crc(record: memoryview, generation: int) -> int:
    return binascii.crc32(record, generation)


def _generation(header: memoryview) -> int:
    """The generation that a sector's header names; 0 where it is no header."""
    magic, version, _, generation, _, crc = struct.unpack(_HEADER + "I", header)
    if magic != _MAGIC or version != _VERSION or crc != binascii.crc32(header[:-4]):
        return 0
    return generation
