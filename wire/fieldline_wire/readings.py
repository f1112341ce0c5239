"""Readings on their way and their acknowledgement: Report, Gap, Ack (wire.md 5.7, 5.9, 5.10).

Rules: numbers count from 1 and a report's are consecutive; what to_bytes writes, from_bytes takes.
"""

import struct

from fieldline_wire.codes import ACK_GO_ON, CLASSES, const
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.fields import U32, Message, Value, check, check_class, pack, read_tlvs, write_tlvs

MAX_READINGS = const(48)  # wire.md 5.7: a sealed report of so many still fits in a serial frame
MAX_RANGES = const(16)  # wire.md 5.10

_CLASS_MASK = const(0x03)
_HISTORICAL = const(0x04)
_UTC = const(0x08)
_ENTRY = ">HBBBi"
_ENTRY_SIZE = const(9)
_REPORT_SIZE = const(19)  # of the fixed part


class Reading(Value):
    """One entry of a report. `offset` in units of 10 ms from the base time; `value` in quantity's unit."""

    __slots__ = ("flags", "offset", "quantity", "sensor", "value")

    def __init__(self, offset: int, sensor: int, quantity: int, flags: int, value: int) -> None:
        self.offset = offset
        self.sensor = sensor
        self.quantity = quantity
        self.flags = flags
        self.value = value

    def to_bytes(self) -> bytes:
        """9 bytes; UsageError for a field out of range."""
        return pack(_ENTRY, self.offset, self.sensor, self.quantity, self.flags, self.value)


class Report(Message):
    """Readings with consecutive numbers from `first`. `base_time` in s: Unix time if `utc`, else uptime."""

    __slots__ = (
        "base_time",
        "cls",
        "epoch",
        "first",
        "historical",
        "readings",
        "stream",
        "unknown",
        "utc",
    )
    TYPE = 0x02
    FIXED = ">BBIIIIB"

    def __init__(
        self,
        cls: int,
        stream: int,
        first: int,
        base_time: int,
        epoch: int,
        readings: list[Reading],
        historical: bool = False,
        utc: bool = False,
        unknown: list[tuple[int, bytes]] | None = None,
    ) -> None:
        self.cls = cls
        self.stream = stream
        self.first = first
        self.base_time = base_time
        self.epoch = epoch
        self.readings = readings
        self.historical = historical
        self.utc = utc
        self.unknown = unknown or []

    @property
    def last(self) -> int:
        """Number of the last reading."""
        return self.first + len(self.readings) - 1

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("class", self.cls, 0, CLASSES - 1)
        check("first", self.first, 1, U32)
        check("count", len(self.readings), 1, MAX_READINGS)
        check("last", self.last, 1, U32)
        flags = self.cls | (_HISTORICAL if self.historical else 0) | (_UTC if self.utc else 0)
        parts = [
            pack(
                self.FIXED,
                self.TYPE,
                flags,
                self.stream,
                self.first,
                self.base_time,
                self.epoch,
                len(self.readings),
            )
        ]
        for reading in self.readings:
            parts.append(reading.to_bytes())
        parts.append(write_tlvs(self.unknown))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Report":
        """The report in `data`; PeerError where it is malformed."""
        flags, stream, first, base_time, epoch, count = cls.fixed(data)
        end = _REPORT_SIZE + count * _ENTRY_SIZE
        if not 1 <= count <= MAX_READINGS or len(data) < end:
            raise PeerError("Report of %d readings in %d bytes" % (count, len(data)))
        if not 1 <= first <= U32 - count + 1:
            raise PeerError("Report from number %d" % first)
        readings = [
            Reading(*struct.unpack_from(_ENTRY, data, at)) for at in range(_REPORT_SIZE, end, _ENTRY_SIZE)
        ]
        return cls(
            check_class(flags & _CLASS_MASK),
            stream,
            first,
            base_time,
            epoch,
            readings,
            bool(flags & _HISTORICAL),
            bool(flags & _UTC),
            read_tlvs(data, end) if len(data) > end else None,
        )


class Gap(Message):
    """Numbers `first` to `last` that will not come, and why (GAP_*)."""

    __slots__ = ("cls", "first", "last", "reason", "stream", "unknown")
    TYPE = 0x03
    FIXED = ">BBIIIB"

    def __init__(
        self,
        cls: int,
        stream: int,
        first: int,
        last: int,
        reason: int,
        unknown: list[tuple[int, bytes]] | None = None,
    ) -> None:
        self.cls = cls
        self.stream = stream
        self.first = first
        self.last = last
        self.reason = reason
        self.unknown = unknown or []

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("class", self.cls, 0, CLASSES - 1)
        check("first", self.first, 1, self.last)
        return pack(
            self.FIXED, self.TYPE, self.cls, self.stream, self.first, self.last, self.reason
        ) + write_tlvs(self.unknown)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Gap":
        """The gap in `data`; PeerError where it is malformed."""
        class_, stream, first, last, reason = cls.fixed(data)
        if not 1 <= first <= last:
            raise PeerError("Gap from %d to %d" % (first, last))
        tlvs = read_tlvs(data, struct.calcsize(cls.FIXED))
        return cls(check_class(class_), stream, first, last, reason, tlvs)


class Ack(Message):
    """All numbers below `next` and those in `ranges` (first, last) are on disk; `hold` in s."""

    __slots__ = ("cls", "hold", "next", "ranges", "status", "stream", "unknown")
    TYPE = 0x04
    FIXED = ">BBIIBHB"

    def __init__(
        self,
        cls: int,
        stream: int,
        next: int,
        status: int = ACK_GO_ON,
        hold: int = 0,
        ranges: list[tuple[int, int]] | None = None,
        unknown: list[tuple[int, bytes]] | None = None,
    ) -> None:
        self.cls = cls
        self.stream = stream
        self.next = next
        self.status = status
        self.hold = hold
        self.ranges = ranges or []
        self.unknown = unknown or []

    def to_bytes(self) -> bytes:
        """The message; UsageError for a field out of range."""
        check("class", self.cls, 0, CLASSES - 1)
        check("ranges", len(self.ranges), 0, MAX_RANGES)
        if not _in_order(self.next, self.ranges):
            raise UsageError("ranges %r must ascend above %d and not touch" % (self.ranges, self.next))
        parts = [
            pack(
                self.FIXED,
                self.TYPE,
                self.cls,
                self.stream,
                self.next,
                self.status,
                self.hold,
                len(self.ranges),
            )
        ]
        for first, last in self.ranges:
            parts.append(pack(">II", first, last))
        parts.append(write_tlvs(self.unknown))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Ack":
        """The Ack in `data`; PeerError where it is malformed."""
        class_, stream, next_number, status, hold, count = cls.fixed(data)
        at = struct.calcsize(cls.FIXED)
        end = at + 8 * count
        if count > MAX_RANGES or len(data) < end:
            raise PeerError("Ack of %d ranges in %d bytes" % (count, len(data)))
        ranges = []
        while at < end:
            first, last = struct.unpack_from(">II", data, at)
            ranges.append((first, last))
            at += 8
        if not _in_order(next_number, ranges):
            raise PeerError("Ack whose ranges do not ascend above next")
        return cls(check_class(class_), stream, next_number, status, hold, ranges, read_tlvs(data, end))


def _in_order(next_number: int, ranges: list[tuple[int, int]]) -> bool:
    """Whether the ranges ascend, do not touch and lie above `next_number` (wire.md 5.10)."""
    below = next_number
    for first, last in ranges:
        if first <= below or last < first:
            return False
        below = last + 1
    return True
