"""What a mesh bridge and a gateway say to each other on a serial line: adverts, and how the bridge is (wire.md 2.6).

Rules: the bridge holds no keys and looks into nothing: an advert is its AD type and the bytes behind it.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError

AD_TYPES = (0x29, 0x2A, 0x2B)  # PB-ADV, Mesh Message, Mesh Beacon: Core Specification Supplement, part A, 1
MAX_ADVERT = const(29)  # bytes behind the AD type: 31 of a legacy advert less length and type
WANT_RSSI = b"\x01"  # payload of a downlink frame of kind KIND_BRIDGE
NO_RSSI = const(127)  # the controller does not know it: Core Specification 5.3, vol. 4, part E, 7.7.65.2

_VERSION = const(1)
_FORMAT = ">BIIIIIB"
_SIZE = const(22)
_MAX_NAME = const(32)


def advert(ad_type: int, data: bytes) -> bytes:
    """The payload of a frame of kind KIND_ADVERT; UsageError where it is no mesh advert."""
    if ad_type not in AD_TYPES or not 1 <= len(data) <= MAX_ADVERT:
        raise UsageError("an advert of type %r with %d bytes" % (ad_type, len(data)))
    return bytes((ad_type,)) + data


def read_advert(payload: bytes) -> "tuple[int, bytes]":
    """(AD type, the bytes behind it); PeerError where it is no mesh advert."""
    if not 2 <= len(payload) <= MAX_ADVERT + 1 or payload[0] not in AD_TYPES:
        raise PeerError("no mesh advert of %d bytes" % len(payload))
    return payload[0], bytes(payload[1:])


def heard(ad_type: int, data: bytes, rssi: int = NO_RSSI) -> bytes:
    """The payload of a frame of kind KIND_HEARD; `rssi`: -128 to 127 dBm. UsageError as advert()."""
    return bytes((rssi & 0xFF,)) + advert(ad_type, data)


def read_heard(payload: bytes) -> "tuple[int, bytes, int]":
    """(AD type, the bytes behind it, dBm or NO_RSSI); PeerError where it is no mesh advert."""
    ad_type, data = read_advert(payload[1:])
    return ad_type, data, payload[0] - ((payload[0] & 0x80) << 1)


class BridgeState:
    """Counters of a bridge since it started, what its queue to the air still takes, and its board's name.

    heard: adverts handed to the line; lost: heard, but there was no room; sent: advertised; dropped: from the line,
    malformed or too many.
    """

    __slots__ = ("board", "dropped", "free", "heard", "lost", "sent", "uptime")

    def __init__(
        self, uptime: int, heard: int, lost: int, sent: int, dropped: int, free: int, board: str
    ) -> None:
        self.uptime = uptime  # s
        self.heard = heard
        self.lost = lost
        self.sent = sent
        self.dropped = dropped
        self.free = free
        self.board = board

    def to_bytes(self) -> bytes:
        """The payload of a frame of kind KIND_BRIDGE."""
        counts = [
            value & 0xFFFFFFFF for value in (self.uptime, self.heard, self.lost, self.sent, self.dropped)
        ]
        name = self.board.encode()[:_MAX_NAME]
        return struct.pack(_FORMAT, _VERSION, *counts, min(self.free, 0xFF)) + name

    @classmethod
    def from_bytes(cls, payload: bytes) -> "BridgeState":
        """PeerError where it is malformed, or of a version that is not known."""
        if not _SIZE <= len(payload) <= _SIZE + _MAX_NAME or payload[0] != _VERSION:
            raise PeerError("no bridge state of %d bytes" % len(payload))
        _, uptime, heard, lost, sent, dropped, free = struct.unpack_from(_FORMAT, payload)
        try:
            board = bytes(payload[_SIZE:]).decode()
        except ValueError:
            raise PeerError("a board's name that is no text") from None
        return cls(uptime, heard, lost, sent, dropped, free, board)
