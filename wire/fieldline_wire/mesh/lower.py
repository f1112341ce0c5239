"""Lower transport PDUs: bytes to values and back, and the sizes of segments (Mesh Profile 1.0.1, 3.5.2).

Rules: no state here. A segmented control message is read and never sent: nothing this stack says needs one.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.fields import Value

SEGMENT = const(12)  # bytes of an access segment: 3.5.2.2
MAX_SEGMENTS = const(32)
MAX_UNSEGMENTED = const(15)  # bytes of upper transport PDU: 3.5.2.1
MAX_ACCESS = const(380)  # bytes of access payload with a TransMIC of 4: 3.7.3
OPCODE_ACK = const(0x00)
OPCODE_HEARTBEAT = const(0x0A)

_SEG = const(0x80)
_AKF = const(0x40)


class Segment(Value):
    """A segment of an access message. key: AKF and AID (7 bits); seq_zero 13 bits; offset, last 5 bits."""

    __slots__ = ("data", "key", "last", "long_mic", "offset", "seq_zero")

    def __init__(self, key: int, long_mic: int, seq_zero: int, offset: int, last: int, data: bytes) -> None:
        self.key = key
        self.long_mic = long_mic
        self.seq_zero = seq_zero
        self.offset = offset
        self.last = last
        self.data = data

    def to_bytes(self) -> bytes:
        """The lower transport PDU; its fields are ours and in range."""
        word = self.long_mic << 23 | self.seq_zero << 10 | self.offset << 5 | self.last
        return struct.pack(">BBH", _SEG | self.key, word >> 16, word & 0xFFFF) + self.data

    @classmethod
    def from_bytes(cls, data: bytes) -> "Segment":
        """PeerError where `data` is none."""
        if len(data) < 5 or not data[0] & _SEG:
            raise PeerError("no segment")
        word = data[1] << 16 | data[2] << 8 | data[3]
        offset, last = word >> 5 & 31, word & 31
        size = len(data) - 4
        if offset > last or size > SEGMENT or (offset < last and size != SEGMENT):
            raise PeerError("segment %d of %d with %d bytes" % (offset, last, size))
        return cls(data[0] & 0x7F, word >> 23, word >> 10 & 0x1FFF, offset, last, data[4:])


def key_bits(aid: int) -> int:
    """AKF and AID of an application key; 0 stands for a device key."""
    return _AKF | aid


def is_application(key: int) -> bool:
    """Whether `key` (AKF and AID) says an application key."""
    return bool(key & _AKF)


def cut(upper: bytes) -> "list[bytes]":
    """An upper transport PDU in segments; UsageError where it needs more than 32."""
    parts = [upper[at : at + SEGMENT] for at in range(0, len(upper), SEGMENT)]
    if not 1 <= len(parts) <= MAX_SEGMENTS:
        raise UsageError("%d bytes do not fit an access message" % len(upper))
    return parts


def seq_auth(iv_index: int, seq: int, seq_zero: int) -> int:
    """IV index and sequence number of a message's first segment, 56 bits, from any segment (3.5.3.1)."""
    first = seq & ~0x1FFF | seq_zero
    if first > seq:
        first -= 0x2000
    if first < 0:
        raise PeerError("SeqZero 0x%04x too high" % seq_zero)
    return iv_index << 24 | first


def ack(seq_zero: int, block: int, on_behalf: bool = False) -> bytes:
    """A Segment Acknowledgment; `on_behalf`: a friend's, for its low-power node (3.5.2.3.1)."""
    return struct.pack(">BHI", OPCODE_ACK, on_behalf << 15 | seq_zero << 2, block)


def read_ack(data: bytes) -> "tuple[bool, int, int]":
    """(on behalf of another, SeqZero, BlockAck); PeerError where `data` is no Segment Acknowledgment."""
    if len(data) != 7 or data[0] != OPCODE_ACK:
        raise PeerError("no segment acknowledgment")
    zero, block = struct.unpack_from(">HI", data, 1)
    return bool(zero & 0x8000), zero >> 2 & 0x1FFF, block


class Heartbeat(Value):
    """A heartbeat (3.6.5.10): the TTL it set out with, and the features in use there."""

    __slots__ = ("features", "ttl")

    def __init__(self, ttl: int, features: int) -> None:
        self.ttl = ttl
        self.features = features

    def to_bytes(self) -> bytes:
        """The transport PDU."""
        return struct.pack(">BBH", OPCODE_HEARTBEAT, self.ttl, self.features)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Heartbeat":
        """PeerError where `data` is none."""
        if len(data) != 4 or data[0] != OPCODE_HEARTBEAT:
            raise PeerError("no heartbeat")
        return cls(data[1] & 0x7F, data[2] << 8 | data[3])
