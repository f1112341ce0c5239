"""Heads of CBOR data items (RFC 8949, 3), deterministic: as much as a boot needs to read an envelope.

Rules: a length is in its shortest form, and below 2^32.
"""

import struct

from fieldline_wire.errors import PeerError, UsageError


def head(major: int, value: int) -> bytes:
    """A data item's head in its shortest form."""
    if value < 24:
        return bytes((major << 5 | value,))
    if value < 0x100:
        return bytes((major << 5 | 24, value))
    if value < 0x10000:
        return struct.pack(">BH", major << 5 | 25, value)
    if value > 0xFFFFFFFF:
        raise UsageError("%d is too large for this CBOR" % value)
    return struct.pack(">BI", major << 5 | 26, value)


def bstr(data: bytes) -> bytes:
    """A byte string."""
    return head(2, len(data)) + data


def read_head(data: bytes, at: int) -> tuple[int, int, int]:
    """(major, value, offset behind it) of the head at `at`; PeerError where it is not the shortest or cut off."""
    if at >= len(data):
        raise PeerError("CBOR ends at byte %d" % at)
    major, value = data[at] >> 5, data[at] & 31
    at += 1
    if value < 24:
        return major, value, at
    if value > 26:
        raise PeerError("CBOR of a kind that is not used")
    size = 1 << (value - 24)
    if at + size > len(data):
        raise PeerError("CBOR ends in a head")
    number = int.from_bytes(data[at : at + size], "big")
    if number < (24, 0x100, 0x10000)[value - 24]:
        raise PeerError("CBOR that is not the shortest")
    return major, number, at + size
