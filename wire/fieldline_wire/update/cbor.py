"""Deterministic CBOR (RFC 8949, 4.2.1), as much of it as manifest and root document need.

Rules: unsigned integers below 2^32, byte and text strings, arrays, maps whose keys are unsigned integers. One
encoding for a value: anything longer, in another order or with something behind it is refused.
"""

from fieldline_wire.codes import const
from fieldline_wire.errors import PeerError, UsageError
from fieldline_wire.update.heads import bstr, head, read_head

MAX_DEPTH = const(4)  # a root document has 3: map, holders, holder

_UINT = const(0)
_BYTES = const(2)
_TEXT = const(3)
_ARRAY = const(4)
_MAP = const(5)


def encode(value: "int | bytes | str | list | dict") -> bytes:  # type: ignore[type-arg]
    """The encoding of a value; UsageError where it has none here."""
    if isinstance(value, (bytes, bytearray)):
        return bstr(bytes(value))
    if isinstance(value, str):
        data = value.encode()
        return head(_TEXT, len(data)) + data
    if isinstance(value, (list, tuple)):
        return head(_ARRAY, len(value)) + b"".join([encode(each) for each in value])
    if isinstance(value, dict):
        return head(_MAP, len(value)) + b"".join([encode(key) + encode(value[key]) for key in sorted(value)])
    if type(value) is not int or value < 0:
        raise UsageError("%r has no encoding in this CBOR" % (value,))
    return head(_UINT, value)


def decode(data: bytes):  # type: ignore[no-untyped-def]
    """The value that `data` is, wholly; PeerError where it is not deterministic CBOR of these kinds."""
    value, at = _item(data, 0, MAX_DEPTH)
    if at != len(data):
        raise PeerError("%d bytes behind the CBOR" % (len(data) - at))
    return value


def _item(data: bytes, at: int, depth: int):  # type: ignore[no-untyped-def]
    major, value, at = read_head(data, at)
    if major == _UINT:
        return value, at
    if major in (_BYTES, _TEXT):
        if value > len(data) - at:
            raise PeerError("a CBOR string runs over the end")
        found = data[at : at + value]
        return (bytes(found) if major == _BYTES else _text(found)), at + value
    if major not in (_ARRAY, _MAP) or not depth:
        raise PeerError("CBOR of a kind that is not used, or too deep")
    if value > len(data) - at:
        raise PeerError("a CBOR array runs over the end")
    if major == _ARRAY:
        items = []
        for _ in range(value):
            each, at = _item(data, at, depth - 1)
            items.append(each)
        return items, at
    pairs = {}
    last = -1
    for _ in range(value):
        kind, key, at = read_head(data, at)
        if kind != _UINT or key <= last:
            raise PeerError("CBOR keys out of order")
        last = key
        pairs[key], at = _item(data, at, depth - 1)
    return pairs, at


def _text(data: bytes) -> str:
    try:
        return str(data, "utf-8")
    except ValueError:  # UnicodeError on both interpreters
        raise PeerError("CBOR text that is not UTF-8") from None
