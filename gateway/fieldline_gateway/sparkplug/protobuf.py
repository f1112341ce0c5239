"""Protocol Buffers on the wire, as far as the Sparkplug B schema needs it (protobuf.dev, "Encoding").

Rules: no reflection and no schema here: a message is a run of (field number, wire type, value). Whatever a
peer sends raises PayloadError or is read within the bytes given; nothing is copied twice on one level.
"""

from __future__ import annotations

from collections.abc import Iterator

from fieldline_gateway.sparkplug.errors import PayloadError

# Wire types. 3 and 4 are groups, which no Sparkplug message has.
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

U32 = 0xFFFFFFFF
U64 = 0xFFFFFFFFFFFFFFFF

_LAST_SHIFT = 63  # the tenth byte of a varint holds bit 63 and no more
_SIZES = {FIXED64: 8, FIXED32: 4}
_SMALL = tuple(bytes((n,)) for n in range(0x80))


def varint(value: int) -> bytes:
    """`value`, 0 to 2**64 - 1, in groups of seven bits, the lowest first."""
    if value < 0x80:
        return _SMALL[value]
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_TAGS = tuple(varint(key) for key in range(20 << 3))


def tag(number: int, wire_type: int) -> bytes:
    """What stands before each field, 1 to 19: the schema has no more."""
    return _TAGS[number << 3 | wire_type]


def number_field(number: int, value: int) -> bytes:
    """An integer or bool field."""
    return _TAGS[number << 3] + (_SMALL[value] if value < 0x80 else varint(value))


def bytes_field(number: int, value: bytes) -> bytes:
    """A string, bytes or message field."""
    size = len(value)
    return _TAGS[number << 3 | LENGTH] + (_SMALL[size] if size < 0x80 else varint(size)) + value


def fields(data: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Each field of a message: its number, wire type and value (int of a varint, else the bytes)."""
    at, size = 0, len(data)
    value: int | bytes
    while at < size:
        key, at = _read_varint(data, at)
        number, wire_type = key >> 3, key & 7
        if not 1 <= number <= 0x1FFFFFFF:
            raise PayloadError(f"field number {number} at byte {at}")
        if wire_type == VARINT:
            value, at = _read_varint(data, at)
        else:
            if wire_type == LENGTH:
                length, at = _read_varint(data, at)
            elif wire_type in _SIZES:
                length = _SIZES[wire_type]
            else:
                raise PayloadError(f"wire type {wire_type} of field {number} at byte {at}")
            if length > size - at:
                raise PayloadError(f"field {number} has {length} bytes and {size - at} are left")
            value = data[at : at + length]
            at += length
        yield number, wire_type, value


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at `at` and the offset after it. Bits above the 64th are refused."""
    value = shift = 0
    size = len(data)
    while at < size:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value > U64:
                raise PayloadError(f"an integer of more than 64 bits before byte {at}")
            return value, at
        if shift == _LAST_SHIFT:
            raise PayloadError(f"an integer of more than ten bytes before byte {at}")
        shift += 7
    raise PayloadError("the bytes end within an integer")
