"""Provisioning PDUs: types, sizes, error codes and the two with fields (Mesh Profile 1.0.1, 5.4.1).

Rules: a PDU's size is checked here, once, before anybody looks into it.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.fields import U16, Value
from fieldline_wire.mesh.network import is_unicast

INVITE = const(0)
CAPABILITIES = const(1)
START = const(2)
PUBLIC_KEY = const(3)
INPUT_COMPLETE = const(4)
CONFIRMATION = const(5)
RANDOM = const(6)
DATA = const(7)
COMPLETE = const(8)
FAILED = const(9)

_SIZES = (2, 12, 6, 65, 1, 17, 17, 34, 1, 2)

# 5.4.4
INVALID_PDU = const(1)
INVALID_FORMAT = const(2)
UNEXPECTED_PDU = const(3)
CONFIRMATION_FAILED = const(4)
OUT_OF_RESOURCES = const(5)
DECRYPTION_FAILED = const(6)
UNEXPECTED_ERROR = const(7)
CANNOT_ASSIGN = const(8)

ALGORITHM_P256 = const(0)
METHOD_NONE = const(0)
METHOD_STATIC = const(1)


def check(pdu: bytes) -> int:
    """The type of a PDU of the right size; PeerError for another."""
    if not pdu or pdu[0] >= len(_SIZES):
        raise PeerError("no provisioning PDU")
    if len(pdu) != _SIZES[pdu[0]]:
        raise PeerError("a provisioning PDU %d of %d bytes" % (pdu[0], len(pdu)))
    return pdu[0]


class Capabilities(Value):
    """What a device can do (5.4.1.2): elements, and whether it has a static OOB value."""

    __slots__ = ("algorithms", "elements", "static_oob")

    def __init__(self, elements: int, static_oob: bool = False, algorithms: int = 1) -> None:
        self.elements = elements
        self.static_oob = static_oob
        self.algorithms = algorithms

    def to_bytes(self) -> bytes:
        """The PDU."""
        fields = (CAPABILITIES, self.elements, self.algorithms, 0, int(self.static_oob), 0, 0, 0, 0)
        return struct.pack(">BBHBBBHBH", *fields)

    @classmethod
    def from_bytes(cls, pdu: bytes) -> "Capabilities":
        """PeerError where it has no element or not our algorithm."""
        _, elements, algorithms, _, static, _, _, _, _ = struct.unpack(">BBHBBBHBH", pdu)
        if not elements or not algorithms & 1:
            raise PeerError("%d elements, algorithms 0x%04x" % (elements, algorithms))
        return cls(elements, bool(static & 1), algorithms)


class Data(Value):
    """What a device is given (5.4.2.5): 25 bytes before they are encrypted."""

    __slots__ = ("address", "iv_index", "iv_update", "key_refresh", "net_index", "net_key")

    def __init__(
        self,
        net_key: bytes,
        net_index: int,
        iv_index: int,
        address: int,
        key_refresh: bool = False,
        iv_update: bool = False,
    ) -> None:
        self.net_key = net_key
        self.net_index = net_index
        self.iv_index = iv_index
        self.address = address
        self.key_refresh = key_refresh
        self.iv_update = iv_update

    def to_bytes(self) -> bytes:
        """UsageError for a field out of range."""
        if len(self.net_key) != 16 or not 0 <= self.net_index <= 0xFFF or not is_unicast(self.address):
            raise UsageError("provisioning data out of range")
        flags = self.key_refresh | self.iv_update << 1
        return self.net_key + struct.pack(">HBIH", self.net_index, flags, self.iv_index, self.address & U16)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Data":
        """PeerError where the address is none of an element."""
        index, flags, iv_index, address = struct.unpack(">HBIH", data[16:])
        if not is_unicast(address):
            raise PeerError("address 0x%04x" % address)
        return cls(data[:16], index & 0xFFF, iv_index, address, bool(flags & 1), bool(flags & 2))
