"""Proxy PDUs over GATT: segmentation, the proxy filter and its configuration (Mesh Profile 1.0.1, 6).

Rules: a PDU is at most MAX_PDU long whatever the peer sends; a filter holds at most MAX_FILTER addresses.
"""

import struct

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError

TYPE_NETWORK = const(0)
TYPE_BEACON = const(1)
TYPE_CONFIGURATION = const(2)
TYPE_PROVISIONING = const(3)

_COMPLETE = const(0)
_FIRST = const(1)
_CONTINUATION = const(2)
_LAST = const(3)

MAX_PDU = const(65)  # Provisioning Public Key is the longest of all four types
SAR_TIMEOUT_MS = const(20000)  # 6.6
MAX_FILTER = const(16)  # addresses of one client; at 20,000 there would be no node left

ACCEPT = const(0)
REJECT = const(1)
_SET_TYPE = const(0)
_ADD = const(1)
_REMOVE = const(2)
_STATUS = const(3)


def cut(kind: int, pdu: bytes, mtu: int) -> "list[bytes]":
    """The attribute values that carry a PDU where ATT_MTU is `mtu` (23 at least: 20 bytes a value)."""
    step = mtu - 4
    parts = [pdu[at : at + step] for at in range(0, len(pdu), step)] or [b""]
    if len(parts) == 1:
        return [bytes((_COMPLETE << 6 | kind,)) + pdu]
    last = len(parts) - 1
    marks = [_FIRST] + [_CONTINUATION] * (last - 1) + [_LAST]
    return [bytes((marks[i] << 6 | kind,)) + parts[i] for i in range(last + 1)]


class Reader:
    """Attribute values to PDUs. A value that does not fit what was before drops both (6.3.2)."""

    __slots__ = ("_kind", "_parts", "_size", "_since")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._kind = -1
        self._size = 0
        self._since = 0

    def feed(self, now: int, value: bytes) -> "tuple[int, bytes] | None":
        """(type, PDU) where `value` completes one; PeerError where it fits nothing."""
        if not value:
            raise PeerError("an empty proxy PDU")
        mark, kind = value[0] >> 6, value[0] & 0x3F
        going = self._kind
        if going >= 0 and now - self._since >= SAR_TIMEOUT_MS:
            going = -1
        self._kind = -1
        if mark in (_COMPLETE, _FIRST):
            if going >= 0:
                raise PeerError("a proxy PDU within another")
            if kind > TYPE_PROVISIONING:
                raise PeerError("a proxy PDU of type %d" % kind)
            if len(value) - 1 > MAX_PDU:
                raise PeerError("a proxy PDU of %d bytes" % len(value))
            if mark == _COMPLETE:
                return kind, value[1:]
            self._parts, self._size = [value[1:]], len(value) - 1
        else:
            if going != kind:
                raise PeerError("a segment of no proxy PDU")
            self._parts.append(value[1:])
            self._size += len(value) - 1
            if self._size > MAX_PDU:
                raise PeerError("a proxy PDU of over %d bytes" % MAX_PDU)
            if mark == _LAST:
                return kind, b"".join(self._parts)
        self._kind, self._since = kind, now
        return None


class Filter:
    """What a proxy sends to one client (6.4); accepts nothing at first. The client's own address is added as
    it is heard (6.7)."""

    __slots__ = ("_addresses", "_reject")

    def __init__(self) -> None:
        self._reject = False
        self._addresses: list[int] = []

    def passes(self, dst: int) -> bool:
        """Whether a PDU to `dst` goes to the client."""
        return (dst in self._addresses) != self._reject

    def heard(self, src: int) -> None:
        """The client sent a valid PDU of `src`."""
        if self._reject:
            if src in self._addresses:
                self._addresses.remove(src)
        elif src not in self._addresses and len(self._addresses) < MAX_FILTER:
            self._addresses.append(src)

    def configure(self, message: bytes) -> bytes:
        """A filter message's effect; the Filter Status that answers. PeerError where it is malformed."""
        code, data = message[0], message[1:]
        if code == _SET_TYPE:
            if len(data) != 1 or data[0] > REJECT:
                raise PeerError("a filter type of %d bytes" % len(data))
            self._reject = data[0] == REJECT
            self._addresses = []
        elif code in (_ADD, _REMOVE):
            if not data or len(data) % 2:
                raise PeerError("filter addresses of %d bytes" % len(data))
            for at in range(0, len(data), 2):
                self._change(code, data[at] << 8 | data[at + 1])
        else:
            raise PeerError("proxy configuration %d" % code)
        return struct.pack(">BBH", _STATUS, self._reject, len(self._addresses))

    def _change(self, code: int, address: int) -> None:
        if code == _REMOVE:
            if address in self._addresses:
                self._addresses.remove(address)
        elif address and address not in self._addresses and len(self._addresses) < MAX_FILTER:
            self._addresses.append(address)


def set_filter(kind: int) -> bytes:
    """The message that sets the filter's type and empties it."""
    return bytes((_SET_TYPE, kind))


def add_addresses(addresses: "list[int]") -> bytes:
    """The message that adds addresses; at most five fit one PDU."""
    return bytes((_ADD,)) + b"".join([struct.pack(">H", one) for one in addresses])


def read_status(message: bytes) -> "tuple[int, int]":
    """(filter type, list size) of a Filter Status; PeerError where it is none."""
    if len(message) != 4 or message[0] != _STATUS or message[1] > REJECT:
        raise PeerError("no filter status")
    return message[1], message[2] << 8 | message[3]
