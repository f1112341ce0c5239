"""What the store holds and the sinks read: plain values.

Rules: this module knows no file, no sink and no clock. A record is one message of a node, after its seal was
opened, with the times that the gateway knows; sinks decode `payload` with fieldline_wire.messages.
Times are UTC in milliseconds since 1970. Named tuples, as each message makes one: a frozen dataclass takes four
times as long to make.
"""

from __future__ import annotations

from typing import NamedTuple

# Classes (wire.md 5.4); each has a log of its own. The lowest class is the one evicted first.
ALARM, LIVE, BULK = 0, 1, 2
CLASSES = (ALARM, LIVE, BULK)
CLASS_NAMES = ("alarm", "live", "bulk")

# Kinds: the type of the message in `payload` (wire.md 5.1), and one of the store's own.
KIND_DAMAGE = 0  # records that cannot be read any more and whose node is not known; see Record.first
KIND_HELLO = 0x01
KIND_REPORT = 0x02
KIND_GAP = 0x03
KIND_CONFIG = 0x05
KIND_RESULT = 0x07
KIND_LOG = 0x08
NUMBERED = (KIND_REPORT, KIND_GAP)
"""Kinds that have numbers."""

# Where `time_ms` comes from.
TIME_NODE = 0  # the node's own UTC clock
TIME_MAPPED = 1  # the node's uptime, mapped to UTC by the gateway
TIME_ARRIVAL = 2  # unknown: when it arrived, which is an upper bound

# Reasons of a Gap that only a gateway gives (wire.md 5.9).
GAP_EVICTED = 4
GAP_STREAM_ENDED = 5
GAP_UNREADABLE = 6  # was stored, and cannot be read back (CRC)

NO_NODE = bytes(8)


class Position(NamedTuple):
    """Where a record stands: the log of a class, and its sequence number there (from 1, without holes)."""

    cls: int
    seq: int


class Record(NamedTuple):
    """One message of a node as the store holds it."""

    cls: int
    kind: int
    node: bytes
    """8 bytes; NO_NODE for KIND_DAMAGE."""
    stream: int
    """Stream of the numbers (wire.md 5.5); 0 where the kind has none."""
    first: int
    """First number of a Report or Gap, else 0. KIND_DAMAGE: first lost sequence number of the log."""
    last: int
    """Last number of a Report or Gap, else 0. KIND_DAMAGE: last lost sequence number."""
    epoch: int
    """Boot count of the node when it sealed the message (wire.md 3.2); with `counter` its replay state."""
    counter: int
    """Counter of the seal."""
    time_ms: int
    """UTC of the message: of a Report its base time, to which the offsets of its readings are added."""
    time_quality: int
    """TIME_NODE, TIME_MAPPED or TIME_ARRIVAL."""
    received_ms: int
    """UTC when the gateway received it."""
    payload: bytes
    """The wire message, type byte included; empty for KIND_DAMAGE."""


class StoredRecord(NamedTuple):
    """A record with its place in the log."""

    seq: int
    """0: one of several records that stand for a run of lost ones; the last of them has the run's last."""
    record: Record
    late: bool = False
    """It is backlog: it waited here while newer ones went, or for longer than what is live waits."""

    def as_late(self) -> StoredRecord:
        """The same as backlog."""
        return StoredRecord(self.seq, self.record, True)

    @property
    def position(self) -> Position:
        """What Reader.commit takes when this record and all before it in its class are delivered."""
        return Position(self.record.cls, self.seq)
