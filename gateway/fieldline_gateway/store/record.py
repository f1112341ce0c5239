"""A record as bytes, and records found again in bytes (docs/store.md 3).

Rules: pure; takes and returns bytes and values. Whatever the bytes hold, reading raises nothing: a record
is valid or it is not. The CRC starts from the segment's salt, so that bytes of another segment, of an older
file or of a node that likes to play are no record here.
"""

from __future__ import annotations

import struct
from binascii import crc32
from collections.abc import Iterator
from dataclasses import dataclass

from fieldline_gateway.records import Record, StoredRecord

MAGIC = b"\xf1\xd1"
_HEAD = struct.Struct(">2sI")  # magic, crc
_BODY = struct.Struct(">HQHBBB8sIIIIIQQ")
_PEEK = struct.Struct(">HQH")  # how _BODY begins: size of the payload, seq, index
HEADER_SIZE = _HEAD.size + _BODY.size
"""65 bytes stand before the payload."""
MAX_PAYLOAD = 4096
"""Bytes; a wire message has at most 2,048 (wire.md 4.2). Bounds what a garbled length can claim."""
MAX_RECORD = HEADER_SIZE + MAX_PAYLOAD


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a valid record stands, without its content."""

    start: int
    end: int
    seq: int
    index: int
    """Place in its group: the records before seq - index were on disk when this one was written (3.4)."""


def encode(record: Record, seq: int, index: int, salt: int) -> bytes:
    """The record as `seq` of its log, `index`-th of its group, for the segment with this salt."""
    payload = record.payload
    body = _BODY.pack(
        len(payload),
        seq,
        index,
        record.cls,
        record.kind,
        record.time_quality,
        record.node,
        record.stream,
        record.first,
        record.last,
        record.epoch,
        record.counter,
        record.time_ms,
        record.received_ms,
    )
    return _HEAD.pack(MAGIC, crc32(payload, crc32(body, salt))) + body + payload


def frame_at(data: bytes | memoryview, start: int, salt: int) -> Frame | None:
    """The valid record that begins at `start`, else None: not whole, or its CRC is wrong."""
    if len(data) - start < HEADER_SIZE:
        return None
    magic, crc = _HEAD.unpack_from(data, start)
    if magic != MAGIC:
        return None
    body = start + _HEAD.size
    size, seq, index = _PEEK.unpack_from(data, body)
    end = start + HEADER_SIZE + size
    if size > MAX_PAYLOAD or end > len(data) or crc32(memoryview(data)[body:end], salt) != crc:
        return None
    return Frame(start, end, seq, index)


def decode(data: bytes | memoryview, frame: Frame) -> StoredRecord:
    """The record of a frame that frame_at() gave."""
    body = frame.start + _HEAD.size
    _, seq, _, cls, kind, quality, node, stream, first, last, epoch, counter, time_ms, received_ms = (
        _BODY.unpack_from(data, body)
    )
    payload = bytes(data[body + _BODY.size : frame.end])
    return StoredRecord(
        seq,
        Record(cls, kind, node, stream, first, last, epoch, counter, time_ms, quality, received_ms, payload),
    )


def frames(data: bytes, salt: int, start: int, expected: int) -> Iterator[Frame]:
    """Valid records from `start` on, with ascending sequence numbers not below `expected`, over damage too.

    Behind damage the next valid record is looked for; one whose number is farther away than the bytes between
    could hold is none.
    """
    position = start
    while True:
        frame = frame_at(data, position, salt)
        if frame is None or frame.seq != expected:
            frame = _next_valid(data, salt, position, expected)
            if frame is None:
                return
        yield frame
        position, expected = frame.end, frame.seq + 1


def _next_valid(data: bytes, salt: int, start: int, expected: int) -> Frame | None:
    at = data.find(MAGIC, start)
    while at >= 0:
        frame = frame_at(data, at, salt)
        if frame is not None and 0 <= frame.seq - expected <= (at - start) // HEADER_SIZE:
            return frame
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
    """Offset behind the last record that counts; what follows is a torn tail and is cut."""
    next_seq: int
    frames: tuple[Frame, ...]
    holes: tuple[Hole, ...]


def recover(data: bytes, salt: int, first_seq: int) -> Recovered:
    """Tell a torn tail from damage in a segment whose last group may not have reached the disk.

    A group is written only when the one before it is on disk. So the greatest `seq - index` of all valid
    records says from where on nothing was promised: a hole that begins there or later is a torn tail and
    ends the log; a hole that begins earlier is damage, and reading goes on behind it.
    """
    found = list(frames(data, salt, 0, first_seq))
    promised = max((frame.seq - frame.index for frame in found), default=first_seq)
    kept: list[Frame] = []
    holes: list[Hole] = []
    expected, end = first_seq, 0
    for frame in found:
        if frame.seq != expected:
            if expected >= promised:
                break
            holes.append(Hole(expected, frame.seq - 1))
        kept.append(frame)
        expected, end = frame.seq + 1, frame.end
    return Recovered(end, expected, tuple(kept), tuple(holes))
