"""Sparkplug's data types, and how a value of each stands in the `value` of a metric or of a property
(specification 3.0, sections 6.4.16 and 6.4.17).

Rules: what is written is checked against its type first. Reading is in two steps, because a command may
name a metric by its alias alone: `read` gives what is on the wire, `interpret` the meaning of a type.

One trap is settled here. The specification's table says that UInt32 stands in `int_value`; Tahu, the
specification's test kit and `sparkplug-payload` put it in `long_value`. We write `long_value`, read both.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

from fieldline_gateway.sparkplug.errors import PayloadError, UsageError
from fieldline_gateway.sparkplug.protobuf import (
    FIXED32,
    FIXED64,
    LENGTH,
    U32,
    U64,
    VARINT,
    bytes_field,
    number_field,
    tag,
)


class DataType(IntEnum):
    """The enumeration of the schema."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


class Opaque(NamedTuple):
    """A value that this package carries and does not look into: DataSet, Template, an extension."""

    field: int
    """Its place in the `oneof`: 7 DataSet, 8 Template, 9 extension (of a metric)."""
    data: bytes


Value = int | float | bool | str | bytes | Opaque

# The members of the `oneof value` in the schema's order. A metric's begin at field 10, a property's at 3.
INT, LONG, FLOAT, DOUBLE, BOOLEAN, STRING = range(6)
_WIRE = (VARINT, VARINT, FIXED32, FIXED64, VARINT, LENGTH)
METRIC_VALUES, PROPERTY_VALUES = 10, 3
_METRIC_BYTES = 6

_MEMBER = {
    DataType.INT8: INT,
    DataType.INT16: INT,
    DataType.INT32: INT,
    DataType.UINT8: INT,
    DataType.UINT16: INT,
    DataType.INT64: LONG,
    DataType.UINT32: LONG,
    DataType.UINT64: LONG,
    DataType.DATETIME: LONG,
    DataType.FLOAT: FLOAT,
    DataType.DOUBLE: DOUBLE,
    DataType.BOOLEAN: BOOLEAN,
    DataType.STRING: STRING,
    DataType.TEXT: STRING,
    DataType.UUID: STRING,
}

_SIGNED = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED = {
    DataType.UINT8: 8,
    DataType.UINT16: 16,
    DataType.UINT32: 32,
    DataType.UINT64: 64,
    DataType.DATETIME: 64,
}
_BYTES = {DataType.BYTES, DataType.FILE, *(DataType(n) for n in range(DataType.INT8_ARRAY, 35))}
_OPAQUE = {DataType.DATASET: 7, DataType.TEMPLATE: 8}
_PYTHON_TYPE: dict[int, type] = {
    DataType.BOOLEAN: bool,
    DataType.FLOAT: float,
    DataType.DOUBLE: float,
    **{datatype: str for datatype, member in _MEMBER.items() if member == STRING},
    **dict.fromkeys(_BYTES, bytes),
    **dict.fromkeys(_OPAQUE, Opaque),
}
BASIC_TYPES = frozenset(DataType(n) for n in range(DataType.INT8, DataType.TEXT + 1))
"""Section 6.4.17, "Basic Types": what a property may have besides its own two."""


def write(base: int, datatype: DataType, value: Value) -> bytes:
    """The field with `value`, its `oneof` beginning at field `base`; UsageError where it does not fit."""
    if datatype in _SIGNED or datatype in _UNSIGNED:
        return _write_integer(base, datatype, value)
    if datatype is DataType.BOOLEAN and isinstance(value, bool):
        return number_field(base + BOOLEAN, value)
    if datatype in (DataType.FLOAT, DataType.DOUBLE) and isinstance(value, float):
        if datatype is DataType.DOUBLE:
            return tag(base + DOUBLE, FIXED64) + struct.pack("<d", value)
        try:
            return tag(base + FLOAT, FIXED32) + struct.pack("<f", value)
        except OverflowError:
            raise UsageError(f"{value!r} does not fit a Float: use Double") from None
    if _MEMBER.get(datatype) == STRING and isinstance(value, str):
        return bytes_field(base + STRING, utf8(value))
    if datatype in _BYTES and isinstance(value, bytes) and base == METRIC_VALUES:
        return bytes_field(base + _METRIC_BYTES, value)
    raise UsageError(f"{type(value).__name__} is no value of a {datatype.name} here")


def _write_integer(base: int, datatype: DataType, value: Value) -> bytes:
    if type(value) is not int:
        raise UsageError(f"{type(value).__name__} is no value of a {datatype.name}")
    member = _MEMBER[datatype]
    if datatype in _SIGNED:
        half = 1 << (_SIGNED[datatype] - 1)
        if not -half <= value < half:
            raise UsageError(f"{value} does not fit a {datatype.name}")
        value &= U32 if member == INT else U64
    elif not 0 <= value < 1 << _UNSIGNED[datatype]:
        raise UsageError(f"{value} does not fit a {datatype.name}")
    return number_field(base + member, value)


def read(base: int, number: int, wire_type: int, value: int | bytes) -> Value:
    """What a field of a `oneof` holds, integers as on the wire; PayloadError where it is malformed."""
    member = number - base
    if member >= len(_WIRE):
        if not isinstance(value, bytes):
            raise PayloadError(f"field {number} has wire type {wire_type}")
        return value if (base, member) == (METRIC_VALUES, _METRIC_BYTES) else Opaque(member, value)
    if wire_type != _WIRE[member]:
        raise PayloadError(f"field {number} has wire type {wire_type}, not {_WIRE[member]}")
    if isinstance(value, int):
        if member == BOOLEAN:
            return value != 0
        return value & U32 if member == INT else value
    if member == STRING:
        return text(value)
    number_read: float = struct.unpack("<f" if member == FLOAT else "<d", value)[0]
    return number_read


def interpret(datatype: int, value: Value) -> Value:
    """What `read` gave, as a value of `datatype`; PayloadError where they do not agree.

    A type that is not in the enumeration leaves the value as it is: a later specification may have more.
    """
    if datatype in _SIGNED or datatype in _UNSIGNED:
        return _read_integer(DataType(datatype), value)
    if datatype not in _PYTHON_TYPE:
        return value
    known = DataType(datatype)
    if type(value) is not _PYTHON_TYPE[known]:
        raise PayloadError(f"a value that is no {known.name}")
    if isinstance(value, Opaque) and value.field != _OPAQUE[known]:
        raise PayloadError(f"a value that is no {known.name}")
    return value


def _read_integer(datatype: DataType, value: Value) -> int:
    if type(value) is not int:
        raise PayloadError(f"a value that is no {datatype.name}")
    if datatype in _UNSIGNED:
        if value >> _UNSIGNED[datatype]:
            raise PayloadError(f"{value} does not fit a {datatype.name}")
        return value
    bits = _SIGNED[datatype]
    # Some encoders extend the sign to 32 or to 64 bits, some cut the number to its own width.
    width = next((width for width in (bits, 32) if not value >> width), 64)
    signed = value - (1 << width) if value >> (width - 1) else value
    if not -(1 << (bits - 1)) <= signed < 1 << (bits - 1):
        raise PayloadError(f"{value} does not fit a {datatype.name}")
    return signed


def utf8(value: str) -> bytes:
    """A string's bytes; UsageError for one with surrogates."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise UsageError("a string must not hold surrogates") from None


def text(value: bytes) -> str:
    """A string as a peer sent it; PayloadError where it is not UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise PayloadError("a string that is not UTF-8") from None
