"""One class of the outbox: how far its numbers are given, acknowledged, dropped; and a reading in flash.

Rules: no flash here. The crc of a record also covers what its place says of it (the sector's sequence and the
number), so that a record can't be taken for another one that lay there before.
"""

import binascii
import struct

from fieldline_wire.codes import GAP_DROPPED, const

RECORD_SIZE = const(21)
SALT_SIZE = const(8)  # in front of a record while its crc is made

_SALT = ">II"  # sequence, number
_BODY = ">BBBBIIBi"  # _UTC, sensor, quantity, flags, epoch, s, 10 ms, value
_CRC_AT = const(25)  # behind salt and body
_UTC = const(0x01)
_MARK = ">IIIIIB"  # stream, floor, lost, reserved, dropped, reason


class Record:
    """A reading as it is kept. `seconds` and `centis` (10 ms): Unix time if `utc`, else uptime in `epoch`."""

    __slots__ = ("centis", "epoch", "flags", "quantity", "seconds", "sensor", "utc", "value")

    def __init__(
        self,
        sensor: int,
        quantity: int,
        flags: int,
        value: int,
        epoch: int,
        seconds: int,
        centis: int,
        utc: bool,
    ) -> None:
        self.sensor = sensor
        self.quantity = quantity
        self.flags = flags
        self.value = value
        self.epoch = epoch
        self.seconds = seconds
        self.centis = centis
        self.utc = utc

    def pack_into(self, buffer: bytearray, sequence: int, number: int) -> None:
        """Salt and record into `buffer` (29 bytes); the record starts at SALT_SIZE."""
        struct.pack_into(_SALT, buffer, 0, sequence, number)
        struct.pack_into(
            _BODY,
            buffer,
            SALT_SIZE,
            _UTC if self.utc else 0,
            self.sensor,
            self.quantity,
            self.flags,
            self.epoch,
            self.seconds,
            self.centis,
            self.value,
        )
        struct.pack_into(">I", buffer, _CRC_AT, binascii.crc32(memoryview(buffer)[:_CRC_AT]))


def unpack_record(buffer: bytearray, sequence: int, number: int) -> "Record | None":
    """The reading at SALT_SIZE in `buffer`; None where it is not `number` of the sector `sequence`."""
    struct.pack_into(_SALT, buffer, 0, sequence, number)
    if binascii.crc32(memoryview(buffer)[:_CRC_AT]) != struct.unpack_from(">I", buffer, _CRC_AT)[0]:
        return None
    body = struct.unpack_from(_BODY, buffer, SALT_SIZE)
    kind, sensor, quantity, flags, epoch, seconds, centis, value = body
    return Record(sensor, quantity, flags, value, epoch, seconds, centis, bool(kind & _UTC))


class Missing:
    """Numbers `first` to `last` that can't be had, and why (GAP_*)."""

    __slots__ = ("first", "last", "reason")

    def __init__(self, first: int, last: int, reason: int) -> None:
        self.first = first
        self.last = last
        self.reason = reason


class Lane:
    """Numbers below `next` are given, below `floor` acknowledged, below `lost` dropped for `reason`.

    reserved: above every number that may have been given; dropped: how many left by no ack.
    sector: the one that takes the next reading, or -1; first: its first number.
    saved: `floor` as the journal has it; dirty: the journal has an older mark.
    """

    __slots__ = (
        "cls",
        "dirty",
        "dropped",
        "first",
        "floor",
        "lost",
        "next",
        "reason",
        "reserved",
        "saved",
        "sector",
    )

    def __init__(self, cls: int) -> None:
        self.cls = cls
        self.next = self.floor = self.lost = self.reserved = self.saved = 1
        self.reason = GAP_DROPPED
        self.dropped = 0
        self.sector = -1
        self.first = 0
        self.dirty = False

    def settled(self) -> int:
        """All numbers below need their flash no more."""
        return max(self.floor, self.lost)

    def drop(self, end: int, reason: int) -> None:
        """Gives up what is kept below `end`."""
        self.dropped += max(0, end - self.settled())
        self.lost = max(self.lost, end)
        self.reason = reason
        self.dirty = True

    def to_bytes(self, stream: int) -> bytes:
        """The mark, for the journal."""
        return struct.pack(_MARK, stream, self.floor, self.lost, self.reserved, self.dropped, self.reason)

    def load(self, mark: bytes, stream: int) -> None:
        """Takes a mark from the journal, if it is of this stream."""
        its_stream, floor, lost, reserved, dropped, reason = struct.unpack(_MARK, mark)
        if its_stream == stream:
            self.floor = self.saved = floor
            self.lost = lost
            self.next = self.reserved = reserved
            self.dropped = dropped
            self.reason = reason
