"""What the message classes share: range checks, the fixed part, TLVs (wire.md 5.2, 5.3).

Rules: a field is checked before struct.pack, which cuts silently on a node; a length is checked before
struct.unpack, whose error differs between interpreters.
"""

import struct

from fieldline_wire.codes import CLASSES
from fieldline_wire.errors import PeerError, UsageError

U8 = 0xFF
U16 = 0xFFFF
U32 = 0xFFFFFFFF

_RANGES = {"B": (0, U8), "H": (0, U16), "I": (0, U32), "i": (-0x80000000, 0x7FFFFFFF)}


def check(name: str, value: int, low: int, high: int) -> int:
    """`value`, if it is an integer in low..high; else UsageError. A bool is no integer here."""
    if type(value) is not int or not low <= value <= high:
        raise UsageError("%s is %r, must be %d to %d" % (name, value, low, high))
    return value


def pack(fmt: str, *values: int) -> bytes:
    """struct.pack for a format of one letter a value; UsageError where a value does not fit its field."""
    for i in range(len(values)):
        low, high = _RANGES[fmt[i + 1]]
        if type(values[i]) is not int or not low <= values[i] <= high:
            raise UsageError("%r does not fit field %d of %s" % (values[i], i, fmt))
    return struct.pack(fmt, *values)


def check_class(cls: int) -> int:
    """`cls` as a peer sent it, if it is a class of readings (wire.md 5.4); else PeerError."""
    if cls >= CLASSES:
        raise PeerError("class %d" % cls)
    return cls


def text(data: bytes) -> str:
    """UTF-8 as a peer sent it; PeerError where it is none."""
    try:
        return str(data, "utf-8")
    except ValueError:  # UnicodeError on both interpreters
        raise PeerError("text is not UTF-8") from None


def tlv(tag: int, value: bytes) -> bytes:
    """One TLV (wire.md 5.3)."""
    check("tag", tag, 0, U8)
    check("TLV length", len(value), 0, U8)
    return bytes((tag, len(value))) + value


def read_tlvs(data: bytes, at: int) -> list[tuple[int, bytes]]:
    """The TLVs from offset `at` to the end; PeerError where one runs over it (wire.md 5.3)."""
    found = []
    size = len(data)
    while at < size:
        end = at + 2 + (data[at + 1] if at + 1 < size else U8)
        if end > size:
            raise PeerError("a TLV at byte %d runs over the end" % at)
        found.append((data[at], data[at + 2 : end]))
        at = end
    return found


def write_tlvs(pairs: list[tuple[int, bytes]]) -> bytes:
    """The TLVs in `pairs`, one after the other."""
    return b"".join([tlv(tag, value) for tag, value in pairs])


def unpack_value(fmt: str, value: bytes) -> tuple[int, ...]:
    """The fields of a TLV's value, which must have exactly the size of `fmt`; else PeerError."""
    if len(value) != struct.calcsize(fmt):
        raise PeerError("a TLV value of %d bytes, not %d" % (len(value), struct.calcsize(fmt)))
    return struct.unpack(fmt, value)


class Value:  # noqa: PLW1641 - values can change, so they have no hash
    """A value with `__slots__`: equal when all of them are."""

    __slots__: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return False
        return all([getattr(self, name) == getattr(other, name) for name in self.__slots__])

    def __repr__(self) -> str:
        fields = ["%s=%r" % (name, getattr(self, name)) for name in self.__slots__]
        return "%s(%s)" % (type(self).__name__, ", ".join(fields))


class Message(Value):
    """A message: `TYPE` and `FIXED`, the struct format of type and fixed part (wire.md 5.1, 5.2)."""

    __slots__ = ()
    TYPE = 0
    FIXED = ">B"

    @classmethod
    def fixed(cls, data: bytes) -> tuple[int, ...]:
        """The fields of the fixed part after the type; PeerError where `data` is none or too short."""
        if len(data) < struct.calcsize(cls.FIXED) or data[0] != cls.TYPE:
            raise PeerError("%d bytes are no %s" % (len(data), cls.__name__))
        return struct.unpack_from(cls.FIXED, data)[1:]
