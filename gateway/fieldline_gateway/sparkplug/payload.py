"""The Sparkplug B payload: bytes <-> values (specification 3.0, sections 6.4.1 and 6.4.5 to 6.4.10).

Rules: decoding is bounded in bytes, metrics, properties and depth, and raises PayloadError or nothing.
Encoding refuses what the specification forbids (a null with a value, a value without a type) before a byte
is written. DataSet, Template and extensions are carried as they are; MetaData is skipped: an edge node of
ours sends none, and no command of ours takes one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

from fieldline_gateway.sparkplug.datatypes import (
    BASIC_TYPES,
    METRIC_VALUES,
    PROPERTY_VALUES,
    DataType,
    Value,
    interpret,
    read,
    text,
    utf8,
    write,
)
from fieldline_gateway.sparkplug.errors import PayloadError, UsageError
from fieldline_gateway.sparkplug.protobuf import LENGTH, U32, U64, VARINT, bytes_field, fields, number_field

MAX_BYTES = 1 << 20
"""Largest payload decoded. A command holds a few metrics; our own largest birth is below 64 KiB."""

MAX_METRICS = 10_000
"""Most metrics decoded of one payload: at one value object each, about 5 MB."""

MAX_PROPERTIES = 256
"""Most properties decoded of one metric; the specification knows one key, real hosts use about ten."""

MAX_DEPTH = 4
"""How deep property sets may nest: each level is a call of this decoder."""

Field = int | bytes


@dataclass(frozen=True, slots=True)
class Property:
    """One value of a property set. `value` None stands for a null."""

    datatype: int
    value: Value | PropertySet | tuple[PropertySet, ...] | None

    def to_bytes(self) -> bytes:
        """The PropertyValue message; UsageError where value and type do not agree."""
        head = number_field(1, self.datatype)
        value = self.value
        if value is None:
            return head + number_field(2, 1)
        if isinstance(value, PropertySet) and self.datatype == DataType.PROPERTY_SET:
            return head + bytes_field(9, value.to_bytes())
        if isinstance(value, tuple) and self.datatype == DataType.PROPERTY_SET_LIST:
            sets = [bytes_field(1, one.to_bytes()) for one in value if isinstance(one, PropertySet)]
            return head + bytes_field(10, b"".join(sets))
        if self.datatype not in BASIC_TYPES or isinstance(value, (PropertySet, tuple)):
            raise UsageError(f"type {self.datatype} is no type of the property value {value!r}")
        return head + write(PROPERTY_VALUES, DataType(self.datatype), value)

    @classmethod
    def from_bytes(cls, data: bytes, depth: int = 0) -> Property:
        """The property in `data`; PayloadError where it is malformed."""
        datatype, is_null = int(DataType.UNKNOWN), False
        value: Value | PropertySet | tuple[PropertySet, ...] | None = None
        for number, wire_type, field in fields(data):
            if number == 1:
                datatype = _integer(field, U32)
            elif number == 2:
                is_null = bool(_integer(field, U64))
            elif number == 9:
                value = PropertySet.from_bytes(_message(field, wire_type), depth + 1)
            elif number == 10:
                value = _property_sets(_message(field, wire_type), depth + 1)
            elif 3 <= number <= 11:
                value = read(PROPERTY_VALUES, number, wire_type, field)
        if is_null or value is None:
            return cls(datatype, None)
        if isinstance(value, PropertySet) or type(value) is tuple:
            wanted = DataType.PROPERTY_SET if isinstance(value, PropertySet) else DataType.PROPERTY_SET_LIST
            if datatype != wanted:
                raise PayloadError(f"a property of type {datatype} that holds a {wanted.name}")
            return cls(datatype, value)
        return cls(datatype, interpret(datatype, value))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class PropertySet:
    """Properties by name, in their order."""

    items: tuple[tuple[str, Property], ...]

    def to_bytes(self) -> bytes:
        """The PropertySet message: as many values as keys, by construction."""
        keys = [bytes_field(1, utf8(key)) for key, _ in self.items]
        return b"".join(keys + [bytes_field(2, value.to_bytes()) for _, value in self.items])

    @classmethod
    def from_bytes(cls, data: bytes, depth: int = 0) -> PropertySet:
        """The set in `data`; PayloadError where it is malformed or its keys and values differ in number."""
        if depth > MAX_DEPTH:
            raise PayloadError(f"property sets more than {MAX_DEPTH} deep")
        keys: list[str] = []
        values: list[Property] = []
        for number, wire_type, field in fields(data):
            if number == 1:
                keys.append(text(_message(field, wire_type)))
            elif number == 2:
                values.append(Property.from_bytes(_message(field, wire_type), depth))
            if len(keys) > MAX_PROPERTIES or len(values) > MAX_PROPERTIES:
                raise PayloadError(f"more than {MAX_PROPERTIES} properties")
        if len(keys) != len(values):
            raise PayloadError(f"{len(keys)} property keys and {len(values)} values")
        return cls(tuple(zip(keys, values, strict=True)))


@dataclass(frozen=True, slots=True)
class Metric:
    """One value of one metric.

    `datatype` says how `value` is written; `declare` False keeps it off the wire, as in DDATA, where the
    birth has said it. A metric decoded without one has its value as it was on the wire: see `typed`.
    """

    name: str | None = None
    alias: int | None = None
    timestamp: int | None = None
    """UTC, ms since 1970: when the value was captured."""
    datatype: int | None = None
    value: Value | None = None
    is_null: bool = False
    is_historical: bool = False
    is_transient: bool = False
    properties: tuple[tuple[str, Property], ...] = ()
    declare: bool = True

    def to_bytes(self) -> bytes:
        """The Metric message; UsageError for a field out of range, or a null that has a value."""
        if self.is_null != (self.value is None):
            raise UsageError(f"metric {self.name or self.alias}: either a value or is_null")
        parts = []
        if self.name is not None:
            parts.append(bytes_field(1, utf8(self.name)))
        for number, value in ((2, self.alias), (3, self.timestamp)):
            if value is not None:
                parts.append(number_field(number, _checked(value)))
        if self.datatype is not None and self.declare:
            parts.append(number_field(4, self.datatype))
        for number, flag in ((5, self.is_historical), (6, self.is_transient), (7, self.is_null)):
            if flag:
                parts.append(number_field(number, 1))
        if self.properties:
            parts.append(bytes_field(9, PropertySet(self.properties).to_bytes()))
        if self.value is not None:
            if self.datatype is None:
                raise UsageError(f"metric {self.name or self.alias}: a value needs a datatype")
            parts.append(write(METRIC_VALUES, DataType(self.datatype), self.value))
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Metric:
        """The metric in `data`; PayloadError where it is malformed."""
        name: str | None = None
        numbers: dict[int, int] = {}
        value: Value | None = None
        properties: tuple[tuple[str, Property], ...] = ()
        for number, wire_type, field in fields(data):
            if number == 1:
                name = text(_message(field, wire_type))
            elif 2 <= number <= 7:
                numbers[number] = _integer(field, U32 if number == 4 else U64)
            elif number == 9:
                properties = PropertySet.from_bytes(_message(field, wire_type)).items
            elif METRIC_VALUES <= number <= 19:
                value = read(METRIC_VALUES, number, wire_type, field)
        metric = cls(
            name=name,
            alias=numbers.get(2),
            timestamp=numbers.get(3),
            value=None if numbers.get(7) else value,
            is_historical=bool(numbers.get(5)),
            is_transient=bool(numbers.get(6)),
            is_null=bool(numbers.get(7)),
            properties=properties,
            declare=4 in numbers,
        )
        return metric.typed(numbers[4]) if 4 in numbers else metric

    def typed(self, datatype: int) -> Metric:
        """This metric with its value read as `datatype`; PayloadError where they do not agree."""
        value = None if self.value is None else interpret(datatype, self.value)
        return dataclasses.replace(self, datatype=datatype, value=value)

    def property(self, key: str) -> Property | None:
        """The property of that name, if there is one."""
        return dict(self.properties).get(key)


@dataclass(frozen=True, slots=True)
class Payload:
    """What one Sparkplug message says."""

    timestamp: int | None = None
    """UTC, ms since 1970: when the message was sent."""
    metrics: tuple[Metric, ...] = ()
    seq: int | None = None
    uuid: str | None = None
    body: bytes | None = None

    def to_bytes(self) -> bytes:
        """The Payload message; UsageError for a field out of range."""
        head = join(self.timestamp, self.seq, [metric.to_bytes() for metric in self.metrics])
        if self.uuid is not None:
            head += bytes_field(4, utf8(self.uuid))
        return head if self.body is None else head + bytes_field(5, self.body)

    @classmethod
    def from_bytes(cls, data: bytes) -> Payload:
        """The payload in `data`; PayloadError where it is malformed or larger than our bounds."""
        if len(data) > MAX_BYTES:
            raise PayloadError(f"a payload of {len(data)} bytes, more than {MAX_BYTES}")
        numbers: dict[int, int] = {}
        metrics: list[Metric] = []
        uuid: str | None = None
        body: bytes | None = None
        for number, wire_type, field in fields(data):
            if number in (1, 3):
                numbers[number] = _integer(field, U64)
            elif number == 2:
                metrics.append(Metric.from_bytes(_message(field, wire_type)))
                if len(metrics) > MAX_METRICS:
                    raise PayloadError(f"more than {MAX_METRICS} metrics")
            elif number == 4:
                uuid = text(_message(field, wire_type))
            elif number == 5:
                body = _message(field, wire_type)
        return cls(numbers.get(1), tuple(metrics), numbers.get(3), uuid, body)


def join(timestamp: int | None, seq: int | None, metrics: Iterable[bytes]) -> bytes:
    """A payload of metrics that are encoded already: for a sender that has to count their bytes."""
    parts = [] if timestamp is None else [number_field(1, _checked(timestamp))]
    parts.extend(bytes_field(2, metric) for metric in metrics)
    if seq is not None:
        parts.append(number_field(3, _checked(seq)))
    return b"".join(parts)


def _property_sets(data: bytes, depth: int) -> tuple[PropertySet, ...]:
    """The sets of a PropertySetList."""
    sets = []
    for number, wire_type, field in fields(data):
        if number == 1:
            sets.append(PropertySet.from_bytes(_message(field, wire_type), depth))
    if len(sets) > MAX_PROPERTIES:
        raise PayloadError(f"more than {MAX_PROPERTIES} property sets")
    return tuple(sets)


def _checked(value: int) -> int:
    if not 0 <= value <= U64:
        raise UsageError(f"{value} does not fit 64 bits without a sign")
    return value


def _integer(field: Field, mask: int) -> int:
    """An integer field; PayloadError where the peer sent another wire type (a varint alone is an int)."""
    if not isinstance(field, int):
        raise PayloadError(f"bytes where wire type {VARINT} belongs")
    return field & mask


def _message(field: Field, wire_type: int) -> bytes:
    """A string, bytes or message field; PayloadError where the peer sent another wire type."""
    if wire_type != LENGTH or not isinstance(field, bytes):
        raise PayloadError(f"wire type {wire_type} where {LENGTH} belongs")
    return field
