"""Readings in flash until the gateway has them: what makes the promise of this project true on the node.

Rules: append() gives a number once, and the reading is durable when it returns. A reading leaves only by an
ack, or as a `Missing` that says which numbers and why. Power may fail at any byte.

Layout. Each class has a lane of sectors. A sector holds consecutive numbers of one class, so a number's place
is arithmetic and nothing is moved when space runs out. The next sector taken is the next free one round the
ring, whatever class takes it (wear). Where none is free the oldest of bulk goes, else of live, else of alarm.
    sector: magic "FO", version, class, stream (4), sequence (4), first number (4), crc (4); then records of
    21 bytes (lane.py).

What the sectors don't tell is a mark a class in the journal: how far it was acknowledged or dropped, and
`reserved`, above every number that may have been given. A mark is saved before the erase that it explains,
`reserved` once the sector's header is there. What neither a sector nor a mark accounts for is unreadable.
"""

import binascii
import struct
from array import array

from fieldline_node.errors import FlashError, StorageError
from fieldline_node.flash import units_used
from fieldline_node.keys import KEY_LANE, KEY_STREAM
from fieldline_node.lane import RECORD_SIZE, SALT_SIZE, Lane, Missing, Record, unpack_record
from fieldline_wire.codes import (
    ALARM,
    BULK,
    CLASSES,
    GAP_DROPPED,
    GAP_ERASED,
    GAP_UNREADABLE,
    LIVE,
    const,
)

MIN_SECTORS = const(4)  # an open one for each class, and one to take next
MAX_NUMBER = 0xFFFFFFFF  # wire.md 5.5
SAVE_AFTER = const(64)  # acknowledged readings until the mark is saved: forgetting an ack costs a repeat,
SAVE_AFTER_MS = const(60000)  # saving it costs flash

_HEADER = ">2sBBIII"
_HEADER_SIZE = const(20)
_MAGIC = b"FO"
_VERSION = const(1)
_FREE = const(0xFF)
_BAD = const(0xFE)  # took no header in this boot
_TRIES = const(3)  # sectors in a row that may refuse a reading
_NOWHERE = (-1, 0, 0, 0)


class Outbox:
    """The kept readings of all classes. Call mount() before anything else."""

    __slots__ = (
        "_buffer",
        "_first",
        "_hand",
        "_journal",
        "_last_sequence",
        "_lanes",
        "_near",
        "_owner",
        "_random32",
        "_region",
        "_save_at",
        "_sequence",
        "_slots",
        "faults",
        "stream",
    )

    def __init__(self, region, journal, random32) -> None:
        """`random32()` gives 32 random bits: the stream, where there is none yet."""
        if region.sectors < MIN_SECTORS:
            raise ValueError("an outbox of %d sectors; it needs %d" % (region.sectors, MIN_SECTORS))
        self._region = region
        self._journal = journal
        self._random32 = random32
        self._slots = (region.sector_size - _HEADER_SIZE) // RECORD_SIZE
        self._buffer = bytearray(SALT_SIZE + RECORD_SIZE)
        self._owner = bytearray(region.sectors)  # class, _FREE or _BAD
        self._sequence = array("I", [0] * region.sectors)
        self._first = array("I", [0] * region.sectors)
        self._lanes = []
        self._hand = -1  # the sector taken last
        self._last_sequence = 0  # and its sequence
        self._near = _NOWHERE  # class, first, end, sector of the last _place()
        self._save_at = None  # ms, when acks are saved
        self.stream = 0
        self.faults = 0  # erases and programs that failed

    def mount(self) -> None:
        """Finds what is kept. StorageError where the journal takes no stream."""
        kept = self._journal.get(KEY_STREAM)
        if kept is not None:
            self.stream = struct.unpack(">I", kept)[0]
        else:
            self.stream = self._newest_stream() or self._random32() or 1
            self._journal.put(KEY_STREAM, struct.pack(">I", self.stream))
        self._save_at = None
        self._index()
        self._lanes = [Lane(cls) for cls in range(CLASSES)]
        for lane in self._lanes:
            mark = self._journal.get(KEY_LANE + lane.cls)
            if mark is not None:
                lane.load(mark, self.stream)
            self._resume(lane)

    def append(self, cls: int, record: Record) -> int:
        """Keeps a reading; its number. StorageError where no sector takes it: no number is used then."""
        lane = self._lanes[cls]
        number = lane.next
        if number > MAX_NUMBER:
            raise StorageError("the numbers of class %d are used up" % cls)
        for _ in range(_TRIES):
            if lane.sector < 0 or number >= lane.first + self._slots:
                self._open(lane)
            record.pack_into(self._buffer, self._sequence[lane.sector], number)
            try:
                self._region.program(self._address(lane.sector, number), memoryview(self._buffer)[SALT_SIZE:])
            except FlashError:
                self.faults += 1
                lane.sector = -1  # the same number again, in another sector
                continue
            lane.next = number + 1
            return number
        raise StorageError("no sector takes the reading")

    def peek(self, cls: int, first: int, limit: int) -> "list[Record] | Missing":
        """Up to `limit` readings from number `first` on, none where it is not given yet; or a Missing."""
        lane = self._lanes[cls]
        if first < lane.lost:
            return Missing(first, lane.lost - 1, lane.reason)
        found = []
        for number in range(first, min(first + limit, lane.next)):
            record = self._load(cls, number)
            if record is None:
                break
            found.append(record)
        if found or first >= lane.next:
            return found
        sector, end = self._place(cls, first)
        if sector < 0:
            return Missing(first, min(end, lane.next) - 1, GAP_UNREADABLE)
        last = first
        while last + 1 < min(end, lane.next) and self._load(cls, last + 1) is None:
            last += 1
        return Missing(first, last, GAP_UNREADABLE)

    def ack(self, cls: int, next_number: int, now: int) -> None:
        """The gateway has all numbers below `next_number`; saved to flash later, by tick(). `now` in ms."""
        lane = self._lanes[cls]
        if not lane.floor < next_number <= lane.next:
            return  # old, or of numbers that were never given (wire.md 5.10)
        lane.floor = next_number
        lane.dirty = True
        if self._save_at is None:
            self._save_at = now + SAVE_AFTER_MS

    def tick(self, now: int) -> None:
        """Saves acks where enough of them came, or long ago. `now` in ms."""
        due = self._save_at is not None and now >= self._save_at
        for lane in self._lanes:
            if lane.dirty and (due or lane.floor - lane.saved >= SAVE_AFTER):
                self._save(lane)
        if due:
            self._save_at = None

    def erase(self) -> None:
        """Gives up all that is kept; it becomes gaps (wire.md 5.12, command 6)."""
        for lane in self._lanes:
            lane.drop(lane.next, GAP_ERASED)
            self._save(lane)

    def floor(self, cls: int) -> int:
        """All numbers below are acknowledged."""
        return self._lanes[cls].floor

    def next(self, cls: int) -> int:
        """The number that the next reading gets."""
        return self._lanes[cls].next

    def oldest(self, cls: int) -> int:
        """The oldest number that is still kept; next() where none is."""
        return self._lanes[cls].settled()

    def usage(self) -> "tuple[int, int, int]":
        """Bytes used, bytes in all, readings dropped since the outbox was formatted (wire.md 5.6, TLV 7)."""
        free = sum([self._is_free(sector) for sector in range(self._region.sectors)])
        dropped = sum([lane.dropped for lane in self._lanes])
        size = self._region.sector_size
        return (self._region.sectors - free) * size, self._region.sectors * size, dropped

    # --- mounting

    def _index(self) -> None:
        """Learns from the headers what every sector holds; those of another stream are free."""
        self._hand = self._region.sectors - 1
        self._last_sequence = 0
        self._near = _NOWHERE
        for sector in range(self._region.sectors):
            self._owner[sector] = _FREE
            header = self._header(sector)
            if header is None:
                continue
            cls, stream, sequence, first = header
            if sequence > self._last_sequence:
                self._last_sequence, self._hand = sequence, sector
            if stream == self.stream:
                self._owner[sector] = cls
                self._sequence[sector] = sequence
                self._first[sector] = first

    def _newest_stream(self) -> int:
        """The stream of the sector that was taken last; 0 where there is none."""
        newest = stream = 0
        for sector in range(self._region.sectors):
            header = self._header(sector)
            if header is not None and header[2] > newest:
                newest, stream = header[2], header[1]
        return stream

    def _header(self, sector: int) -> "tuple[int, int, int, int] | None":
        """(class, stream, sequence, first number) of a sector; None where it has no header."""
        data = memoryview(self._buffer)[:_HEADER_SIZE]
        self._region.readinto(sector * self._region.sector_size, data)
        magic, version, cls, stream, sequence, first, crc = struct.unpack(_HEADER + "I", data)
        if magic != _MAGIC or version != _VERSION or cls >= CLASSES or crc != binascii.crc32(data[:-4]):
            return None
        return cls, stream, sequence, first

    def _resume(self, lane: Lane) -> None:
        """Finds the number that comes next in a lane whose mark is loaded."""
        newest = self._edge(lane.cls, newest=True)
        if newest >= 0:
            first = self._first[newest]
            if first + self._slots >= lane.reserved:
                unit = memoryview(self._buffer)[:RECORD_SIZE]
                used = units_used(self._region, newest, _HEADER_SIZE, RECORD_SIZE, unit)
                lane.next = first + used
                lane.first = first
                lane.sector = newest
            # else a newer sector was there and its header is lost: `reserved` is above all its numbers
        if lane.next < lane.settled():
            lane.next = lane.settled()
            lane.sector = -1

    # --- sectors

    def _open(self, lane: Lane) -> None:
        """Takes a sector for the numbers from lane.next on."""
        for _ in range(_TRIES):
            sector = self._next_free()
            if sector < 0:
                sector = self._evict()
            owner = self._owner[sector]
            if owner < CLASSES and self._lanes[owner].dirty:
                self._save(self._lanes[owner])
            self._near = _NOWHERE
            self._hand = sector
            self._owner[sector] = _BAD
            try:
                self._format(sector, lane)
            except FlashError:
                self.faults += 1
                continue
            self._owner[sector] = lane.cls
            lane.sector = sector
            lane.first = lane.next
            lane.reserved = lane.next + self._slots
            self._save(lane)
            return
        raise StorageError("no sector of the outbox can be erased")

    def _format(self, sector: int, lane: Lane) -> None:
        """Erases a sector and programs its header."""
        self._last_sequence += 1
        header = struct.pack(_HEADER, _MAGIC, _VERSION, lane.cls, self.stream, self._last_sequence, lane.next)
        self._region.erase(sector)
        self._region.program(
            sector * self._region.sector_size, header + struct.pack(">I", binascii.crc32(header))
        )
        self._sequence[sector] = self._last_sequence
        self._first[sector] = lane.next

    def _next_free(self) -> int:
        """The next sector round the ring that keeps nothing; -1 where there is none."""
        count = self._region.sectors
        for step in range(1, count + 1):
            sector = (self._hand + step) % count
            if self._is_free(sector):
                return sector
        return -1

    def _is_free(self, sector: int) -> bool:
        owner = self._owner[sector]
        if owner >= CLASSES:
            return owner == _FREE
        return self._first[sector] + self._slots <= self._lanes[owner].settled()

    def _evict(self) -> int:
        """Drops the oldest sector of the lowest class that has one to spare."""
        if self._bad() * 2 > self._region.sectors:
            raise StorageError("most sectors of the outbox take nothing: what is kept stays")
        for cls in (BULK, LIVE, ALARM):
            lane = self._lanes[cls]
            sector = self._edge(cls, newest=False)
            if sector < 0 or (sector == lane.sector and lane.next < lane.first + self._slots):
                continue
            _, end = self._place(cls, self._first[sector])
            lane.drop(min(end, lane.next), GAP_DROPPED)
            if sector == lane.sector:
                lane.sector = -1
            return sector
        raise StorageError("every sector of the outbox is bad or open")

    def _bad(self) -> int:
        return sum([owner == _BAD for owner in self._owner])

    def _edge(self, cls: int, newest: bool) -> int:
        """The newest or oldest sector of a lane; -1 where it has none."""
        found = -1
        for sector in range(self._region.sectors):
            if self._owner[sector] != cls:
                continue
            if found >= 0:
                here = (self._first[sector], self._sequence[sector])
                there = (self._first[found], self._sequence[found])
                if (here > there) != newest:
                    continue
            found = sector
        return found

    def _save(self, lane: Lane) -> None:
        self._journal.put(KEY_LANE + lane.cls, lane.to_bytes(self.stream))
        lane.saved = lane.floor
        lane.dirty = False

    # --- records

    def _place(self, cls: int, number: int) -> "tuple[int, int]":
        """The sector where `number` lies, or -1; and the first number from there on that lies elsewhere."""
        near, first, end, sector = self._near
        if near == cls and first <= number < end:
            return sector, end
        sector = -1
        first, sequence, after = 0, 0, MAX_NUMBER + 1
        for each in range(self._region.sectors):
            if self._owner[each] != cls:
                continue
            begin = self._first[each]
            if begin > number:
                after = min(after, begin)
            elif sector < 0 or (begin, self._sequence[each]) > (first, sequence):
                sector, first, sequence = each, begin, self._sequence[each]
        if sector < 0 or number >= first + self._slots:
            return -1, after
        end = min(after, first + self._slots)
        self._near = (cls, first, end, sector)
        return sector, end

    def _address(self, sector: int, number: int) -> int:
        at = _HEADER_SIZE + (number - self._first[sector]) * RECORD_SIZE
        return sector * self._region.sector_size + at

    def _load(self, cls: int, number: int) -> "Record | None":
        """The reading `number`; None where it can't be read."""
        sector, _ = self._place(cls, number)
        if sector < 0:
            return None
        self._region.readinto(self._address(sector, number), memoryview(self._buffer)[SALT_SIZE:])
        return unpack_record(self._buffer, self._sequence[sector], number)
