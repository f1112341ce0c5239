"""Records as bytes, in blocks, and blocks found again in bytes (docs/store.md 3).

Rules: pure; takes and returns bytes and values. Whatever the bytes hold, reading raises nothing: a block is valid or
it is not. The CRC starts from the segment's salt, so that bytes of another segment, of an older file or of a node
that likes to play are no block here.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass

from fieldline_gateway.errors import UsageError
from fieldline_gateway.records import NUMBERED, Record, StoredRecord

MAGIC = b"\xf1\xd2"
_HEAD = struct.Struct(">2sIHQHHQB")  # magic, crc, size, first seq, index, count, time, class
_CRC = struct.Struct(">I")
_CRC_AT = len(MAGIC)
_COVERED_AT = _CRC_AT + _CRC.size
HEADER_SIZE = _HEAD.size
"""29 bytes stand before the records of a block."""

_NARROW = struct.Struct(">BHHHIIIBi8s")  # meta, size, arrival, epoch, counter, stream, first, more, age, node
_WIDE = struct.Struct(
    ">BHBBQIIIIIQ8s"
)  # meta, size, kind, quality, arrival, epoch, counter, stream, first, last, ...
_LENGTH = struct.Struct(">BH")  # how both begin: meta, size of the payload
_WIDE_META = 0x80
NARROW_SIZE = _NARROW.size
"""32 bytes stand before the payload of nearly every record."""
MAX_PAYLOAD = 4096
"""Bytes; a wire message has at most 2,048 (wire.md 4.2)."""
BLOCK_BYTES = 4096
"""A block is closed before it grows beyond this, unless it has one record only: a bad sector takes no more anyway."""
PAGE = 4096
"""What disks and page caches write at least."""
PAD_FROM = 2 * PAGE
"""A group so large is filled up to the page's end: a page less to write, for a quarter more room at the most."""
MAX_BLOCK = HEADER_SIZE + _WIDE.size + MAX_PAYLOAD + PAGE
"""Bytes, filling included. Bounds what a garbled size can claim."""


@dataclass(frozen=True, slots=True)
class Block:
    """Where a valid block stands, without its content."""

    start: int
    end: int
    first_seq: int
    index: int
    """Place of its first record in its group: what is before first_seq - index was on disk before it (3.6)."""
    count: int

    @property
    def next_seq(self) -> int:
        """The sequence number behind its last record."""
        return self.first_seq + self.count


class Packed:
    """The records of one group as blocks, packed as they come; to be written as a whole."""

    __slots__ = ("_blocks", "_filled", "size")

    def __init__(self) -> None:
        self._blocks: list[_Open] = []
        self._filled = 0
        self.size = 0
        """Bytes without what fills the last page."""

    def add(self, record: Record) -> int:
        """Append; the bytes that it takes. UsageError: the payload is too long to be found again."""
        if len(record.payload) > MAX_PAYLOAD:
            raise UsageError(f"a payload of {len(record.payload)} bytes; a record has at most {MAX_PAYLOAD}")
        blocks, before = self._blocks, self.size
        if not blocks or len(blocks[-1].data) + NARROW_SIZE + len(record.payload) > BLOCK_BYTES:
            blocks.append(_Open(record.received_ms, record.cls))
            self.size += HEADER_SIZE
        self.size += blocks[-1].add(record)
        return self.size - before

    def to_bytes(self, first_seq: int, salt: int, room: int) -> bytes:
        """The blocks as they are written: sequence numbers from `first_seq` on, for the segment with this salt.

        `room`: bytes up to the end of the page in which it will end, so many zeros fill the last block; 0 for none.
        """
        last = self._blocks[-1].data
        del last[len(last) - self._filled :]
        last += bytes(room)
        self._filled = room
        index = 0
        for block in self._blocks:
            block.finish(first_seq + index, index, salt)
            index += block.count
        return b"".join([block.data for block in self._blocks])


class _Open:
    """A block that records are added to."""

    __slots__ = ("_base_ms", "_cls", "count", "data")

    def __init__(self, base_ms: int, cls: int) -> None:
        self.data = bytearray(HEADER_SIZE)
        self.count = 0
        self._base_ms = base_ms
        self._cls = cls

    def add(self, record: Record) -> int:
        payload = record.payload
        head = _head(record, len(payload), self._base_ms)
        self.data += head
        self.data += payload
        self.count += 1
        return len(head) + len(payload)

    def finish(self, first_seq: int, index: int, salt: int) -> None:
        data = self.data
        size = len(data)
        _HEAD.pack_into(data, 0, MAGIC, 0, size, first_seq, index, self.count, self._base_ms, self._cls)
        with memoryview(data) as view:
            _CRC.pack_into(data, _CRC_AT, crc32(view[_COVERED_AT:], salt))


def _head(record: Record, size: int, base_ms: int) -> bytes:
    """What stands before the payload: narrow where all fits, else wide."""
    received, kind, quality = record.received_ms, record.kind, record.time_quality
    if kind < 16 and quality < 4:
        try:
            return _NARROW.pack(
                kind | quality << 4,
                size,
                received - base_ms,
                record.epoch,
                record.counter,
                record.stream,
                record.first,
                record.last - record.first,
                received - record.time_ms,
                record.node,
            )
        except struct.error:
            pass  # one does not fit
    return _WIDE.pack(
        _WIDE_META,
        size,
        kind,
        quality,
        received,
        record.epoch,
        record.counter,
        record.stream,
        record.first,
        record.last,
        record.time_ms,
        record.node,
    )


def skim(data: bytes | memoryview, start: int) -> tuple[int, int] | None:
    """Size in bytes and UTC in ms of what seems to be a block at `start`, unchecked; None where none seems to be."""
    if len(data) - start < HEADER_SIZE:
        return None
    magic, _, size, _, _, _, base_ms, _ = _HEAD.unpack_from(data, start)
    return (size, base_ms) if magic == MAGIC and HEADER_SIZE < size <= MAX_BLOCK else None


def block_at(data: bytes | memoryview, start: int, salt: int) -> Block | None:
    """The valid block that begins at `start`, else None: not whole, or its CRC is wrong."""
    if len(data) - start < HEADER_SIZE:
        return None
    magic, crc, size, first_seq, index, count, _, _ = _HEAD.unpack_from(data, start)
    end = start + size
    if magic != MAGIC or not HEADER_SIZE < size <= MAX_BLOCK or end > len(data):
        return None
    if crc32(memoryview(data)[start + _COVERED_AT : end], salt) != crc:
        return None
    return Block(start, end, first_seq, index, count) if _holds(data, start, end, count) else None


def _holds(data: bytes | memoryview, start: int, end: int, count: int) -> bool:
    """Whether so many records fit: what a CRC that is right by chance shall not break."""
    at = start + HEADER_SIZE
    for _ in range(count):
        if at + NARROW_SIZE > end:
            return False
        meta, size = _LENGTH.unpack_from(data, at)
        at += (_WIDE.size if meta & _WIDE_META else NARROW_SIZE) + size
    return count > 0 and at <= end


def decode(data: bytes | memoryview, block: Block) -> list[StoredRecord]:
    """The records of a block that block_at() gave."""
    _, _, _, first_seq, _, count, base_ms, cls = _HEAD.unpack_from(data, block.start)
    at = block.start + HEADER_SIZE
    found = []
    for seq in range(first_seq, first_seq + count):
        if data[at] & _WIDE_META:
            _, size, kind, quality, received, epoch, counter, stream, first, last, time_ms, node = (
                _WIDE.unpack_from(data, at)
            )
            at += _WIDE.size
        else:
            meta, size, arrival, epoch, counter, stream, first, more, age, node = _NARROW.unpack_from(
                data, at
            )
            kind, quality, received, last = meta & 15, meta >> 4, base_ms + arrival, first + more
            time_ms = received - age
            at += NARROW_SIZE
        payload = bytes(data[at : at + size])
        at += size
        record = Record(
            cls, kind, node, stream, first, last, epoch, counter, time_ms, quality, received, payload
        )
        found.append(StoredRecord(seq, record))
    return found


def numbers(data: bytes | memoryview, block: Block) -> Iterator[tuple[bytes, int, int, int]]:
    """(node, stream, first, last) of the Reports and Gaps in a block; a start looks at 100,000 of them."""
    at = block.start + HEADER_SIZE
    for _ in range(block.count):
        if data[at] & _WIDE_META:
            _, size, kind, _, _, _, _, stream, first, last, _, node = _WIDE.unpack_from(data, at)
            at += _WIDE.size + size
        else:
            meta, size, _, _, _, stream, first, more, _, node = _NARROW.unpack_from(data, at)
            kind, last = meta & 15, first + more
            at += NARROW_SIZE + size
        if kind in NUMBERED:
            yield node, stream, first, last


def blocks(data: bytes, salt: int, start: int, expected: int) -> Iterator[Block]:
    """Valid blocks from `start` on, with ascending sequence numbers not below `expected`, over damage too.

    Behind damage the next valid block is looked for; one whose number is farther away than the bytes between could
    hold is none.
    """
    position = start
    while True:
        block = block_at(data, position, salt)
        if block is None or block.first_seq != expected:
            block = _next_valid(data, salt, position, expected)
            if block is None:
                return
        yield block
        position, expected = block.end, block.next_seq


def _next_valid(data: bytes, salt: int, start: int, expected: int) -> Block | None:
    at = data.find(MAGIC, start)
    while at >= 0:
        block = block_at(data, at, salt)
        if block is not None and 0 <= block.first_seq - expected <= (at - start) // NARROW_SIZE:
            return block
        at = data.find(MAGIC, at + 1)
    return None


@dataclass(frozen=True, slots=True)
class Hole:
    """Sequence numbers that cannot be read any more, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a scan of the newest segment found (docs/store.md 5)."""

    end: int
    """Offset behind the last block that counts; what follows is a torn tail and is cut."""
    next_seq: int
    blocks: tuple[Block, ...]
    holes: tuple[Hole, ...]


def recover(data: bytes, salt: int, first_seq: int) -> Recovered:
    """Tell a torn tail from damage in a segment whose last group may not have reached the disk.

    A group is written only when the one before it is on disk. So the greatest `first_seq - index` of all valid blocks
    says from where on nothing was promised: a hole that begins there or later is a torn tail and ends the log; a hole
    that begins earlier is damage, and reading goes on behind it.
    """
    found = list(blocks(data, salt, 0, first_seq))
    promised = max((block.first_seq - block.index for block in found), default=first_seq)
    kept: list[Block] = []
    holes: list[Hole] = []
    expected, end = first_seq, 0
    for block in found:
        if block.first_seq != expected:
            if expected >= promised:
                break
            holes.append(Hole(expected, block.first_seq - 1))
        kept.append(block)
        expected, end = block.next_seq, block.end
    return Recovered(end, expected, tuple(kept), tuple(holes))
