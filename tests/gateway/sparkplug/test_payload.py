"""The payload codec: vectors by hand, every value there and back, and nothing but PayloadError for any bytes."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fieldline_gateway.sparkplug import payload as module
from fieldline_gateway.sparkplug.datatypes import DataType, Opaque, Value
from fieldline_gateway.sparkplug.errors import PayloadError, UsageError
from fieldline_gateway.sparkplug.payload import Metric, Payload, Property, PropertySet
from fieldline_gateway.sparkplug.protobuf import bytes_field, fields, number_field, varint

T = DataType


def _ints(bits: int, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if signed else st.integers(0, (1 << bits) - 1)


VALUES: dict[DataType, st.SearchStrategy[Value]] = {
    T.INT8: _ints(8, True),
    T.INT16: _ints(16, True),
    T.INT32: _ints(32, True),
    T.INT64: _ints(64, True),
    T.UINT8: _ints(8, False),
    T.UINT16: _ints(16, False),
    T.UINT32: _ints(32, False),
    T.UINT64: _ints(64, False),
    T.DATETIME: _ints(64, False),
    T.FLOAT: st.floats(width=32, allow_nan=False),
    T.DOUBLE: st.floats(allow_nan=False),
    T.BOOLEAN: st.booleans(),
    T.STRING: st.text(max_size=20),
    T.TEXT: st.text(max_size=20),
}
METRIC_VALUES = VALUES | {
    T.UUID: st.text(max_size=36),
    T.BYTES: st.binary(max_size=20),
    T.FILE: st.binary(max_size=20),
    T.INT16_ARRAY: st.binary(max_size=20),
}


@st.composite
def properties(draw: st.DrawFn, depth: int = 2) -> tuple[tuple[str, Property], ...]:
    found = []
    for key in draw(st.lists(st.text(max_size=8), max_size=3)):
        kind = draw(st.sampled_from([*VALUES, T.PROPERTY_SET, T.PROPERTY_SET_LIST]))
        if kind in VALUES:
            found.append((key, Property(kind, draw(st.none() | VALUES[kind]))))
        elif depth:
            inner = PropertySet(draw(properties(depth - 1)))
            value = inner if kind is T.PROPERTY_SET else (inner,)
            found.append((key, Property(kind, value)))
    return tuple(found)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    datatype = draw(st.sampled_from(list(METRIC_VALUES)))
    value = draw(st.none() | METRIC_VALUES[datatype])
    return Metric(
        name=draw(st.none() | st.text(max_size=10)),
        alias=draw(st.none() | _ints(64, False)),
        timestamp=draw(st.none() | _ints(64, False)),
        datatype=datatype,
        value=value,
        is_null=value is None,
        is_historical=draw(st.booleans()),
        is_transient=draw(st.booleans()),
        properties=draw(properties()),
    )


PAYLOADS = st.builds(
    Payload,
    timestamp=st.none() | _ints(64, False),
    metrics=st.lists(metrics(), max_size=4).map(tuple),
    seq=st.none() | st.integers(0, 255),
    uuid=st.none() | st.text(max_size=36),
    body=st.none() | st.binary(max_size=20),
)


@given(PAYLOADS)
def test_there_and_back(payload: Payload) -> None:
    assert Payload.from_bytes(payload.to_bytes()) == payload


def test_a_vector_by_hand() -> None:
    """The schema's field numbers, written out byte by byte."""
    metric = Metric("bdSeq", 3, 1000, T.INT64, -1, properties=(("Quality", Property(T.INT32, 192)),))
    wanted = bytes.fromhex(
        "0a05 6264536571"  # 1 name
        "1003"  # 2 alias
        "18e807"  # 3 timestamp
        "2004"  # 4 datatype Int64
        "4a10 0a07 5175616c697479 1205 0803 18c001"  # 9 properties: 1 key, 2 value (1 type, 3 int_value)
        "58ffffffffffffffffff01"  # 11 long_value
    )
    assert metric.to_bytes() == wanted
    payload = Payload(timestamp=1, metrics=(metric,), seq=255, uuid="u", body=b"\x01")
    assert payload.to_bytes() == b"\x08\x01\x12" + varint(len(wanted)) + wanted + bytes.fromhex(
        "18ff01 220175 2a0101"
    )


@pytest.mark.parametrize(
    ("datatype", "value", "field"),
    [
        (T.INT8, -1, "50ffffffff0f"),
        (T.UINT16, 52360, "508899 03"),
        (T.UINT32, 7, "5807"),
        (T.FLOAT, 1.5, "650000c03f"),
        (T.DOUBLE, 1.5, "69000000000000f83f"),
        (T.BOOLEAN, False, "7000"),
        (T.STRING, "ab", "7a026162"),
        (T.BYTES, b"\x07", "82010107"),
    ],
)
def test_where_each_type_has_its_value(datatype: DataType, value: Value, field: str) -> None:
    metric = Metric(datatype=datatype, value=value, declare=False)
    assert metric.to_bytes() == bytes.fromhex(field)
    assert Metric.from_bytes(metric.to_bytes()).typed(datatype).value == value


@pytest.mark.parametrize("field", [number_field(10, 4_000_000_000), number_field(11, 4_000_000_000)])
def test_uint32_is_read_from_either_place(field: bytes) -> None:
    assert Metric.from_bytes(number_field(4, T.UINT32) + field).value == 4_000_000_000


@pytest.mark.parametrize("raw", [0xFB, 0xFFFFFFFB, (1 << 64) - 5])
def test_a_sign_may_be_extended_or_not(raw: int) -> None:
    assert Metric.from_bytes(number_field(4, T.INT8) + number_field(11, raw)).value == -5


@given(st.binary(max_size=200))
@example(b"\x12\x02\x4a\x7f")
@example(b"\xff" * 10 + b"\x01")
def test_arbitrary_bytes_raise_our_error_or_nothing(data: bytes) -> None:
    with contextlib.suppress(PayloadError):
        Payload.from_bytes(data)


@given(PAYLOADS, st.data())
def test_spoiled_payloads_raise_our_error_or_nothing(payload: Payload, data: st.DataObject) -> None:
    spoiled = bytearray(payload.to_bytes())
    for _ in range(data.draw(st.integers(0, 3)) if spoiled else 0):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    cut = spoiled[: data.draw(st.integers(0, len(spoiled)))]
    try:
        found = Payload.from_bytes(bytes(cut))
    except PayloadError:
        return
    for metric in found.metrics:
        if metric.datatype is not None and metric.datatype in METRIC_VALUES and not metric.is_null:
            assert metric.value is None or isinstance(metric.value, (int, float, bool, str, bytes))


def _nested(depth: int) -> bytes:
    inner = bytes_field(1, b"k") + bytes_field(2, number_field(1, T.STRING) + bytes_field(8, b"v"))
    for _ in range(depth):
        inner = bytes_field(1, b"k") + bytes_field(2, number_field(1, T.PROPERTY_SET) + bytes_field(9, inner))
    return bytes_field(2, bytes_field(9, inner))


def _property(value: bytes) -> bytes:
    return bytes_field(2, bytes_field(9, bytes_field(1, b"k") + bytes_field(2, value)))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x00", "field number 0"),
        (b"\x0b", "wire type 3"),
        (b"\x12\x05a", "5 bytes and 1"),
        (b"\x08", "within an integer"),
        (b"\x08" + b"\x80" * 10, "ten bytes"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "64 bits"),
        (b"\x0a\x00", "bytes where"),
        (b"\x10\x01", "where 2 belongs"),
        (b"\x22\x01\xff", "not UTF-8"),
        (bytes_field(2, number_field(14, 1) + number_field(4, T.INT64)), "no INT64"),
        (bytes_field(2, number_field(11, 300) + number_field(4, T.UINT8)), "does not fit"),
        (bytes_field(2, number_field(11, 1 << 40) + number_field(4, T.INT32)), "does not fit"),
        (bytes_field(2, bytes_field(17, b"") + number_field(4, T.TEMPLATE)), "no TEMPLATE"),
        (bytes_field(2, bytes_field(17, b"") + number_field(4, T.BYTES)), "no BYTES"),
        (bytes_field(2, bytes_field(18, b"") + number_field(4, T.DATASET)), "no DATASET"),
        (bytes_field(2, bytes_field(12, b"1234")), "wire type 2, not 5"),
        (bytes_field(2, number_field(16, 1)), "wire type 0"),
        (bytes_field(2, bytes_field(9, bytes_field(1, b"k"))), "1 property keys and 0"),
        (_property(number_field(1, T.INT64) + bytes_field(9, b"")), "type 4 that holds a PROPERTY_SET"),
        (_property(number_field(1, 20) + bytes_field(10, b"")), "holds a PROPERTY_SET_LIST"),
        (_property(number_field(1, 21) + bytes_field(10, b"\x0a\x00" * 300)), "256 property sets"),
        (_nested(5), "deep"),
        (bytes_field(2, bytes_field(9, bytes_field(1, b"k") * 300)), "256 properties"),
        (b"\x12\x00" * (module.MAX_METRICS + 1), "10000 metrics"),
        (b"\x2a" + varint(module.MAX_BYTES) + bytes(module.MAX_BYTES), "a payload of"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(PayloadError, match=told):
        Payload.from_bytes(data)


def test_what_is_not_looked_into() -> None:
    """Fields of a later schema, MetaData, DataSets and Templates: skipped or carried, no error."""
    data = bytes_field(2, bytes_field(8, b"\xff") + bytes_field(17, b"\xff") + number_field(4, T.DATASET))
    metric = Payload.from_bytes(data + bytes_field(15, b"later")).metrics[0]
    assert metric.value == Opaque(7, b"\xff")
    assert Metric.from_bytes(number_field(4, 99) + number_field(11, 5)).value == 5
    assert _nested(4)
    assert Payload.from_bytes(_nested(4)).metrics[0].properties


def test_the_last_of_a_repeated_field_counts_and_null_has_no_value() -> None:
    metric = Metric.from_bytes(
        number_field(2, 1) + number_field(2, 9) + number_field(7, 1) + number_field(11, 5)
    )
    assert (metric.alias, metric.is_null, metric.value) == (9, True, None)
    assert (
        Property.from_bytes(number_field(1, T.INT64) + number_field(4, 5) + number_field(2, 1)).value is None
    )


@pytest.mark.parametrize(
    "metric",
    [
        Metric("a", datatype=T.INT64),
        Metric("a", datatype=T.INT64, value=1, is_null=True),
        Metric("a", value=1),
        Metric("a", datatype=T.INT8, value=128),
        Metric("a", datatype=T.UINT8, value=-1),
        Metric("a", datatype=T.UINT64, value=1 << 64),
        Metric("a", datatype=T.INT64, value=True),
        Metric("a", datatype=T.INT64, value=1.0),
        Metric("a", datatype=T.BOOLEAN, value=1),
        Metric("a", datatype=T.DOUBLE, value=1),
        Metric("a", datatype=T.FLOAT, value=1e300),
        Metric("a", datatype=T.STRING, value=b"x"),
        Metric("\ud800", datatype=T.INT64, value=1),
        Metric("a", datatype=T.TEMPLATE, value=Opaque(8, b"")),
        Metric("a", alias=-1, datatype=T.INT64, value=1),
        Metric("a", timestamp=1 << 64, datatype=T.INT64, value=1),
        Metric("a", datatype=T.INT64, value=1, properties=(("k", Property(T.BYTES, b"x")),)),
        Metric("a", datatype=T.INT64, value=1, properties=(("k", Property(T.PROPERTY_SET, 1)),)),
        Metric("a", datatype=T.INT64, value=1, properties=(("k", Property(T.STRING, PropertySet(()))),)),
    ],
)
def test_what_is_not_sent(metric: Metric) -> None:
    with pytest.raises(UsageError):
        Payload(metrics=(metric,)).to_bytes()


def test_not_a_number_goes_through() -> None:
    found = Metric.from_bytes(Metric("a", datatype=T.DOUBLE, value=math.nan).to_bytes()).value
    assert isinstance(found, float)
    assert math.isnan(found)


def test_fields_are_read_one_after_the_other() -> None:
    data = number_field(1, 300) + bytes_field(2, b"ab") + b"\x1d1234" + b"\x2112345678"
    assert list(fields(data)) == [(1, 0, 300), (2, 2, b"ab"), (3, 5, b"1234"), (4, 1, b"12345678")]
